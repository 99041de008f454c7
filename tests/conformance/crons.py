"""Schedules put in a store, and their time let come."""

from __future__ import annotations

from typing import Any

from tests.conformance.subject import Subject
from upnext.model.cron import CronPlan
from upnext.model.schedule import (
    Fired,
    Firing,
    Ordered,
    OrderVerdict,
    Schedule,
    ScheduleAction,
    ScheduleOrder,
)
from upnext.store.store import Store

DONE, UNCHANGED, EXISTS, MISSING, MOVED = OrderVerdict
MINUTE, DAY = 60_000, 86_400_000


async def order(
    store: Store, action: ScheduleAction = ScheduleAction.ADD, name: str = "work", **fields: Any
) -> Ordered:
    """Do something to a schedule of the function `work`; plan options make a plan."""
    options = {"expression", "overlap", "missed_run_policy", "max_catch_up", "jitter", "timezone"}
    given: dict[str, Any] = {option: fields.pop(option) for option in options & fields.keys()}
    plan = CronPlan(**({"expression": "* * * * *"} | given))
    if action in ("declare", "restore", "add", "change"):
        now = await store.now()
        fields = {"plan": plan, "next_at": plan.cron.next_after(now), "origin": "a test"} | fields
    return await store.order(ScheduleOrder(action=action, function="work", name=name, **fields))


async def add(store: Store, name: str = "work", **fields: Any) -> Schedule:
    ordered = await order(store, name=name, **fields)
    assert ordered.verdict is DONE
    assert ordered.schedule is not None
    return ordered.schedule


async def get(store: Store, name: str = "work") -> Schedule | None:
    found = await store.schedules(["work"])
    return next((one for one in found.schedules if one.name == name), None)


async def fire(store: Store, schedule: Schedule, now: int | None = None) -> Fired:
    """Ask for what is due by the store's clock, or by that of a scheduler whose is wrong."""
    at = await store.now() if now is None else now
    [fired] = await store.fire([Firing.of(schedule, schedule.plan, at)])
    return fired


async def tick(store: Store, subject: Subject, schedule: Schedule) -> Fired:
    """Let the next occurrence come, and have it made."""
    subject.advance(max(0, schedule.next_at - subject.now))
    fired = await fire(store, schedule)
    assert fired.schedule is not None
    return fired
