"""What changing a schedule promises: the newest declaration counts, a pause holds."""

from __future__ import annotations

from tests.conformance.crons import (
    DAY,
    DONE,
    EXISTS,
    MINUTE,
    MISSING,
    MOVED,
    UNCHANGED,
    add,
    fire,
    get,
    order,
    tick,
)
from tests.conformance.subject import KEYS, Subject, claim
from upnext.model.schedule import FiringVerdict, ScheduleAction
from upnext.store.store import Store


async def test_a_paused_schedule_makes_nothing_and_goes_on_when_resumed(
    store: Store, subject: Subject
) -> None:
    schedule = await add(store)
    paused = await order(store, ScheduleAction.PAUSE)
    assert (paused.verdict, paused.schedule and paused.schedule.paused) == (DONE, True)
    assert (await order(store, ScheduleAction.PAUSE)).verdict is UNCHANGED
    subject.advance(10 * MINUTE)
    assert (await fire(store, schedule)).verdict is FiringVerdict.MOVED
    assert paused.schedule is not None
    assert (await fire(store, paused.schedule)).verdict is FiringVerdict.MOVED
    next_at = schedule.plan.cron.next_after(await store.now())
    resumed = await order(store, ScheduleAction.RESUME, next_at=next_at)
    assert resumed.verdict is DONE
    assert resumed.schedule is not None
    assert (resumed.schedule.paused, resumed.schedule.next_at) == (False, next_at)
    assert (await order(store, ScheduleAction.RESUME, next_at=1)).verdict is UNCHANGED
    assert (await tick(store, subject, resumed.schedule)).made == 1
    assert len(await claim(store, count=9)) == 1


async def test_a_pause_outlives_a_restart_and_a_new_declaration(store: Store) -> None:
    await order(store, ScheduleAction.DECLARE)
    await order(store, ScheduleAction.PAUSE)
    assert (await order(store, ScheduleAction.DECLARE)).verdict is UNCHANGED
    changed = await order(store, ScheduleAction.DECLARE, expression="*/2 * * * *")
    assert changed.verdict is DONE
    assert changed.schedule is not None
    assert changed.schedule.paused


async def test_declaring_the_same_again_changes_nothing(store: Store, subject: Subject) -> None:
    declared = await order(store, ScheduleAction.DECLARE)
    subject.advance(DAY)
    again = await order(store, ScheduleAction.DECLARE)
    assert (again.verdict, again.schedule) == (UNCHANGED, declared.schedule)
    assert again.schedule is not None
    assert again.schedule.next_at < await store.now(), "what was missed is still due"
    assert again.schedule.is_declared


async def test_a_changed_declaration_takes_the_place_of_the_old_one(
    store: Store, subject: Subject
) -> None:
    old = await order(store, ScheduleAction.DECLARE)
    changed = await order(store, ScheduleAction.DECLARE, expression="30 * * * *")
    assert old.schedule is not None
    assert changed.schedule is not None
    assert changed.verdict is DONE
    assert changed.schedule.plan.expression == "30 * * * *"
    subject.advance(2 * 3_600_000)
    # A scheduler that knows the old one only makes nothing.
    assert (await fire(store, old.schedule)).verdict is FiringVerdict.MOVED
    assert (await fire(store, changed.schedule)).made == 1


async def test_a_change_holds_until_the_declaration_changes(store: Store) -> None:
    first = await order(store, ScheduleAction.DECLARE)
    assert first.schedule is not None
    revision = first.schedule.revision
    change = await order(
        store, ScheduleAction.CHANGE, expression="0 4 * * *", revision=revision, origin="someone"
    )
    assert change.verdict is DONE
    assert change.schedule is not None
    assert (change.schedule.origin, change.schedule.changed_by) == ("a test", "someone")
    late = await order(store, ScheduleAction.CHANGE, expression="0 5 * * *", revision=revision)
    assert (late.verdict, late.schedule) == (MOVED, change.schedule)
    assert (await order(store, ScheduleAction.DECLARE)).verdict is UNCHANGED
    again = await order(store, ScheduleAction.DECLARE, expression="0 6 * * *")
    assert again.schedule is not None
    assert again.schedule.plan.expression == "0 6 * * *"


async def test_adding_and_removing(store: Store, subject: Subject) -> None:
    assert (await order(store, ScheduleAction.CHANGE)).verdict is MISSING
    assert (await order(store, ScheduleAction.REMOVE)).verdict is MISSING
    schedule = await add(store, "mine", arguments=b"[1]")
    assert not schedule.is_declared
    exists = await order(store, name="mine")
    assert (exists.verdict, exists.schedule) == (EXISTS, schedule)
    assert await store.scheduled_functions() == ["work"]
    assert (await order(store, ScheduleAction.RETRACT, "mine")).verdict is UNCHANGED
    removed = await order(store, ScheduleAction.REMOVE, "mine")
    assert (removed.verdict, removed.schedule) == (DONE, None)
    assert (await store.schedules(["work"])).schedules == []
    subject.advance(DAY)
    assert (await fire(store, schedule)).verdict is FiringVerdict.GONE
    again = await add(store, "mine")
    assert again.revision != schedule.revision
    assert (again.arguments, again.last_at) == (b"{}", None)


async def test_what_was_removed_is_not_restored_by_those_who_run_on(store: Store) -> None:
    assert (await order(store, ScheduleAction.RESTORE)).verdict is DONE  # the store was emptied
    assert (await order(store, ScheduleAction.RESTORE)).verdict is UNCHANGED
    assert (await order(store, ScheduleAction.RETRACT)).verdict is DONE
    assert (await order(store, ScheduleAction.RESTORE)).verdict is UNCHANGED
    assert await get(store) is None
    declared = await order(store, ScheduleAction.DECLARE)
    assert declared.verdict is DONE
    assert await get(store) == declared.schedule


async def test_workers_hear_of_changes_and_of_what_was_made(store: Store, subject: Subject) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.due_channel("work"), heard.append, lambda: None).ready()
    schedule = await add(store, "at night")
    fired = await tick(store, subject, schedule)
    await fire(store, schedule)
    await order(store, ScheduleAction.REMOVE, "at night")
    await store.now()
    assert fired.schedule is not None
    made = f"cron {schedule.revision} {fired.schedule.next_at} at night".encode()
    assert heard == [b"crons", made, b"crons"]
