"""Schedule: read and change the schedules of a function; the twin of `schedule.lua`."""

from __future__ import annotations

from attrs import evolve

from upnext.model.schedule import Ordered, OrderVerdict, Schedule, ScheduleAction, ScheduleOrder
from upnext.testing.memory_store.queue import Queue


def read(queue: Queue) -> list[Schedule]:
    """All schedules, those first that are due first, paused ones last."""
    present = [one for one in queue.schedules.values() if one.name not in queue.removed]
    return sorted(present, key=lambda one: (one.paused, 0 if one.paused else one.next_at, one.name))


def order(queue: Queue, now: int, order: ScheduleOrder) -> Ordered:
    """Change one schedule."""
    verdict = _change(queue, now, order)
    schedule = queue.schedules.get(order.name)
    if verdict is OrderVerdict.DONE:
        if schedule is not None:
            schedule = evolve(schedule, revision=schedule.revision + 1)
            queue.schedules[order.name] = schedule
        queue.publish(f"{queue.prefix}due", b"crons")
    return Ordered(verdict, now, None if order.name in queue.removed else schedule)


def _change(queue: Queue, now: int, order: ScheduleOrder) -> OrderVerdict:
    found = queue.schedules.get(order.name)
    there = found is not None and order.name not in queue.removed
    action = order.action
    if not order.sets and not there:
        return OrderVerdict.MISSING
    if order.revision is not None and (found is None or found.revision != order.revision):
        return OrderVerdict.MOVED
    if order.sets:
        return _put(queue, now, order, found, there)
    assert found is not None
    idle = {
        ScheduleAction.RETRACT: not found.declared,
        ScheduleAction.PAUSE: found.paused,
        ScheduleAction.RESUME: not found.paused,
    }
    if idle.get(action):
        return OrderVerdict.UNCHANGED
    if action is ScheduleAction.PAUSE:
        queue.schedules[order.name] = evolve(found, paused=True)
    elif action is ScheduleAction.RESUME:
        queue.schedules[order.name] = evolve(found, paused=False, next_at=order.next_at)
    elif found.declared:
        queue.removed.add(order.name)
        queue.schedules[order.name] = evolve(found, paused=False)
    else:
        del queue.schedules[order.name]
    return OrderVerdict.DONE


def _put(
    queue: Queue, now: int, order: ScheduleOrder, found: Schedule | None, there: bool
) -> OrderVerdict:
    action, plan = order.action, order.plan
    assert plan is not None
    if action is ScheduleAction.RESTORE and found is not None:
        return OrderVerdict.UNCHANGED
    if action is ScheduleAction.ADD and there:
        return OrderVerdict.EXISTS
    if action is ScheduleAction.CHANGE and not there:
        return OrderVerdict.MISSING
    declares = action in (ScheduleAction.DECLARE, ScheduleAction.RESTORE)
    if declares and found is not None and there and found.declared == order.fingerprint:
        return OrderVerdict.UNCHANGED
    if found is None:
        # Revisions begin with the time, so that no two schedules of one name have the same.
        found = Schedule(function=order.function, name=order.name, plan_text=b"", revision=now)
    declared, origin = found.declared, found.origin
    if declares:
        declared, origin = order.fingerprint, order.origin
    elif action is ScheduleAction.ADD:
        declared, origin = "", order.origin
    queue.removed.discard(order.name)
    queue.schedules[order.name] = evolve(
        found,
        plan_text=plan.encode(),
        arguments=order.arguments,
        next_at=order.next_at,
        declared=declared,
        origin=origin,
        changed_by=order.origin,
        changed_at=now,
        created_at=found.created_at if there else now,
    )
    return OrderVerdict.DONE
