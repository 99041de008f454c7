"""What a schedule promises: each occurrence is made once, whoever races."""

from __future__ import annotations

import json

import anyio
import pytest
from attrs import evolve

from tests.conformance.crons import DAY, MINUTE, add, fire, get, order, tick
from tests.conformance.subject import (
    KEYS,
    Subject,
    claim,
    claim_one,
    new,
    outcome,
    record_of,
    submit,
)
from upnext.model.cron import MissedRunPolicy, Overlap
from upnext.model.identity import occurrence_id
from upnext.model.job import Staged
from upnext.model.outcome import Ending
from upnext.model.schedule import (
    Fired,
    Firing,
    FiringVerdict,
    Schedule,
    ScheduleAction,
)
from upnext.model.status import JobStatus
from upnext.store.store import Store


async def test_a_due_occurrence_becomes_a_job_that_knows_its_time(
    store: Store, subject: Subject
) -> None:
    schedule = await add(store, arguments=b'{"n":9007199254740993}')
    fired = await tick(store, subject, schedule)
    assert (fired.verdict, fired.made) == (FiringVerdict.FIRED, 1)
    assert fired.schedule is not None
    assert fired.schedule.next_at == schedule.next_at + MINUTE
    assert fired.schedule.last_at == schedule.next_at
    job = await claim_one(store)
    assert job.id == occurrence_id("work", "work", schedule.next_at) == fired.schedule.last_job
    assert job.arguments == b'{"n":9007199254740993}'
    assert json.loads(job.source) == {
        "type": "cron",
        "name": "work",
        "schedule": "* * * * *",
        "timezone": "UTC",
        "cron_window_at": schedule.next_at,
        "startup_reconciled": False,
        "startup_policy": None,
    }
    record = await record_of(store, job.id)
    assert (record.function, record.due_at, record.status) == (
        "work",
        schedule.next_at,
        JobStatus.RUNNING,
    )
    [queued, running] = subject.events()
    assert (queued["type"], running["type"]) == (b"queued", b"running")
    assert queued["source"] == job.source


async def test_schedulers_that_race_make_it_once(store: Store, subject: Subject) -> None:
    schedule = await add(store)
    subject.advance(schedule.next_at - subject.now)
    answers: list[Fired] = []

    async def race() -> None:
        answers.append(await fire(store, schedule))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(race)
    assert sorted(answer.verdict for answer in answers) == ["fired", *["moved"] * 19]
    assert sum(answer.made for answer in answers) == 1
    for answer in answers:
        assert answer.schedule is not None
        assert answer.schedule.next_at == schedule.next_at + MINUTE
    assert len(await claim(store, count=9)) == 1


async def test_the_servers_clock_decides_whether_it_is_due(store: Store, subject: Subject) -> None:
    schedule = await add(store)
    fired = await fire(store, schedule, now=schedule.next_at + 3_600_000)
    assert (fired.verdict, fired.made) == (FiringVerdict.EARLY, 0)
    assert await get(store) == schedule
    assert await claim(store) == []


async def test_it_is_exact_when_the_jobs_record_is_long_gone(
    store: Store, subject: Subject
) -> None:
    schedule = await add(store, expression="0 0 * * 1")
    assert (await tick(store, subject, schedule)).made == 1
    job = await claim_one(store)
    await store.settle("w1", [outcome(job)])
    subject.advance(3 * DAY)
    assert await store.lookup(job.id) is None
    # A scheduler that slept through it all knows nothing of that.
    assert (await fire(store, schedule)).verdict is FiringVerdict.MOVED
    # Nor does one whose schedule was set back.
    changed = await order(store, ScheduleAction.CHANGE, next_at=schedule.next_at)
    assert changed.schedule is not None
    again = await fire(store, changed.schedule, now=schedule.next_at)
    assert (again.verdict, again.made) == (FiringVerdict.FIRED, 0)
    assert await claim(store) == []


async def test_a_schedule_has_no_time_to_live(store: Store, subject: Subject) -> None:
    schedule = await add(store, expression="0 0 1 1 *")
    subject.advance(schedule.next_at - subject.now)
    assert (await fire(store, schedule)).made == 1


async def test_the_next_one_comes_whatever_became_of_the_last(
    store: Store, subject: Subject
) -> None:
    schedule: Schedule | None = await add(store)
    jobs: list[str] = []
    for ending in (None, Ending.FAILED, Ending.CANCELLED, Ending.COMPLETE):
        assert schedule is not None
        fired = await tick(store, subject, schedule)
        assert fired.made == 1
        job = await claim_one(store)
        jobs.append(job.id)
        if ending is not None:
            await store.settle("w1", [outcome(job, ending)])
        schedule = fired.schedule
    assert len(set(jobs)) == 4


async def test_missed_ones_go_by_the_policy(store: Store, subject: Subject) -> None:
    latest = await add(store, "latest")
    caught = await add(
        store, "caught", missed_run_policy=MissedRunPolicy.CATCH_UP, max_catch_up=3 * MINUTE
    )
    skipped = await add(store, "skipped", missed_run_policy=MissedRunPolicy.SKIP)
    subject.advance(latest.next_at + 10 * MINUTE + 30_000 - subject.now)
    assert [(await fire(store, one)).made for one in (latest, caught, skipped)] == [1, 3, 0]
    newest = latest.next_at + 10 * MINUTE
    sources = [json.loads(job.source) for job in await claim(store, count=9)]
    assert [(one["name"], (one["cron_window_at"] - newest) // MINUTE) for one in sources] == [
        ("latest", 0),
        ("caught", -2),
        ("caught", -1),
        ("caught", 0),
    ]
    assert {one["startup_reconciled"] for one in sources} == {True}
    for name in ("latest", "caught", "skipped"):
        after = await get(store, name)
        assert after is not None
        assert after.next_at == newest + MINUTE


async def test_jitter_puts_off_the_job_and_not_the_schedule(store: Store, subject: Subject) -> None:
    schedule = await add(store, jitter=30_000)
    firing = Firing.of(schedule, schedule.plan, schedule.next_at)
    [one] = firing.occurrences
    assert schedule.next_at < one.due <= schedule.next_at + 30_000
    assert Firing.of(schedule, schedule.plan, schedule.next_at) == firing
    fired = await tick(store, subject, schedule)
    assert fired.made == 1
    assert (await record_of(store, one.id)).status is JobStatus.SCHEDULED
    subject.advance(one.due - subject.now)
    assert await store.stage(["work"]) == [Staged("work", 1, None)]
    assert (await claim_one(store)).id == one.id


async def test_overlap_allow_runs_them_side_by_side(store: Store, subject: Subject) -> None:
    first = await tick(store, subject, await add(store))
    assert first.schedule is not None
    assert (await tick(store, subject, first.schedule)).made == 1
    assert len(await claim(store, count=9)) == 2


async def test_overlap_skip_leaves_out_what_comes_too_soon(store: Store, subject: Subject) -> None:
    fired = await tick(store, subject, await add(store, overlap=Overlap.SKIP))
    job = await claim_one(store)
    for count in (1, 2):
        assert fired.schedule is not None
        fired = await tick(store, subject, fired.schedule)
        assert (fired.verdict, fired.made) == (FiringVerdict.FIRED, 0)
        assert fired.schedule is not None
        assert fired.schedule.skipped == count
    await store.settle("w1", [outcome(job, Ending.RETRY, delay=10 * MINUTE)])
    assert fired.schedule is not None
    fired = await tick(store, subject, fired.schedule)
    assert fired.made == 0, "a job that is tried again is not over"
    await store.cancel(job.id, "enough")
    assert fired.schedule is not None
    assert (await tick(store, subject, fired.schedule)).made == 1


async def queue_up(store: Store, subject: Subject, count: int) -> list[str]:
    """A schedule whose occurrences wait for each other, and the jobs of so many."""
    schedule = await add(store, overlap=Overlap.QUEUE)
    jobs = list[str]()
    for _ in range(count):
        fired = await tick(store, subject, schedule)
        assert fired.made == 1
        assert fired.schedule is not None
        schedule = fired.schedule
        jobs.append(schedule.last_job)
    return jobs


async def test_overlap_queue_runs_them_one_after_another(store: Store, subject: Subject) -> None:
    expected = await queue_up(store, subject, 4)
    seen: list[str] = []
    for ending in (Ending.COMPLETE, Ending.FAILED, Ending.CANCELLED, Ending.EXPIRED):
        [job] = await claim(store, count=9)
        seen.append(job.id)
        assert await claim(store, count=9) == []
        await store.settle("w1", [outcome(job, ending)])
    assert seen == expected
    assert await claim(store, count=9) == []
    schedule = await get(store)
    assert schedule is not None
    assert (await tick(store, subject, schedule)).made == 1
    assert len(await claim(store)) == 1


async def test_in_a_line_a_retry_keeps_its_place(store: Store, subject: Subject) -> None:
    first, second = await queue_up(store, subject, 2)
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.RETRY, delay=5_000)])
    assert await claim(store) == []
    subject.advance(5_000)
    await store.stage(["work"])
    job = await claim_one(store)
    assert job.id == first
    await store.settle("w1", [outcome(job)])
    assert (await claim_one(store)).id == second


async def test_in_a_line_a_cancelled_job_is_left_out(store: Store, subject: Subject) -> None:
    first, second, third = await queue_up(store, subject, 3)
    await store.cancel(second, "not that one")
    assert (await record_of(store, second)).status is JobStatus.CANCELLED
    job = await claim_one(store)
    assert job.id == first
    assert await claim(store) == []
    await store.settle("w1", [outcome(job)])
    assert (await claim_one(store)).id == third


async def test_a_line_wakes_a_hungry_worker(store: Store, subject: Subject) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w2"), heard.append, lambda: None).ready()
    await queue_up(store, subject, 2)
    job = await claim_one(store)
    await store.claim("w2", [("work", 1)])
    assert heard == []
    await store.settle("w1", [outcome(job)])
    await store.now()
    assert len(heard) == 1


async def test_a_full_queue_keeps_what_is_due(store: Store, subject: Subject) -> None:
    small = subject.rebind(most_waiting=2)
    plan = {"missed_run_policy": MissedRunPolicy.CATCH_UP}
    schedule = await add(small, **plan)
    subject.advance(schedule.next_at + 4 * MINUTE - subject.now)
    fired = await fire(small, schedule)
    assert (fired.verdict, fired.made) == (FiringVerdict.FULL, 2)
    assert fired.schedule is not None
    assert fired.schedule.next_at == schedule.next_at + 2 * MINUTE
    assert (await fire(small, fired.schedule)).made == 0
    assert len(await claim(small, count=9)) == 2
    again = await fire(small, fired.schedule)
    assert (again.verdict, again.made) == (FiringVerdict.FULL, 2)
    assert len(await claim(small, count=9)) == 2
    assert again.schedule is not None
    last = await fire(small, again.schedule)
    assert (last.verdict, last.made) == (FiringVerdict.FIRED, 1)


async def test_a_full_queue_keeps_the_first_occurrence_of_all(
    store: Store, subject: Subject
) -> None:
    small = subject.rebind(most_waiting=1)
    await submit(small, new())
    schedule = await add(small)
    subject.advance(schedule.next_at - subject.now)
    full = await fire(small, schedule)
    assert (full.verdict, full.made) == (FiringVerdict.FULL, 0)
    assert full.schedule is not None
    assert (full.schedule.next_at, full.schedule.last_at) == (schedule.next_at, None)
    assert len(await claim(small)) == 1
    assert (await fire(small, full.schedule)).made == 1


async def test_many_schedules_of_one_function(store: Store, subject: Subject) -> None:
    names = [f"tenant {n}" for n in range(20)]
    every = [await add(store, name, arguments=b'{"n":%d}' % n) for n, name in enumerate(names)]
    later = await add(store, "yearly", expression="@yearly")
    await order(store, ScheduleAction.PAUSE, "tenant 3")
    found = await store.schedules(["work", "other"])
    assert [one.name for one in found.schedules][-2:] == ["yearly", "tenant 3"]
    assert {one.name for one in found.schedules} == {*names, "yearly"}
    subject.advance(every[0].next_at - subject.now)
    now = await store.now()
    due = [one for one in found.schedules if not one.paused and one.name != later.name]
    fired = await store.fire([Firing.of(one, one.plan, now) for one in due])
    assert [one.made for one in fired] == [1] * 19
    jobs = await claim(store, count=99)
    assert len({job.id for job in jobs}) == 19


async def test_those_in_line_count_as_waiting(store: Store, subject: Subject) -> None:
    small = subject.rebind(most_waiting=3)
    schedule = await add(small, missed_run_policy=MissedRunPolicy.CATCH_UP, overlap=Overlap.QUEUE)
    subject.advance(schedule.next_at + 9 * MINUTE - subject.now)
    fired = await fire(small, schedule)
    assert (fired.verdict, fired.made) == (FiringVerdict.FULL, 3)
    [job] = await claim(small, count=9)
    assert fired.schedule is not None
    fired = await fire(small, fired.schedule)
    assert (fired.verdict, fired.made) == (FiringVerdict.FULL, 1)
    await small.settle("w1", [outcome(job)])
    assert fired.schedule is not None
    assert (await fire(small, fired.schedule)).made == 0


async def test_ordinary_jobs_of_the_function_go_on_beside_it(
    store: Store, subject: Subject
) -> None:
    by_hand = new()
    await submit(store, by_hand)
    fired = await tick(store, subject, await add(store))
    assert fired.made == 1
    assert len(await claim(store, count=9)) == 2


@pytest.mark.parametrize("field", ["revision", "next_at"])
async def test_a_firing_that_quotes_something_else_makes_nothing(
    store: Store, subject: Subject, field: str
) -> None:
    schedule = await add(store)
    subject.advance(schedule.next_at - subject.now)
    other = evolve(schedule, **{field: getattr(schedule, field) - MINUTE})
    assert (await fire(store, other, now=schedule.next_at)).verdict is FiringVerdict.MOVED
