"""Cron: make the due jobs of a schedule; the twin of `cron.lua`."""

from __future__ import annotations

from attrs import evolve

from upnext.model.job import NewJob
from upnext.model.schedule import Fired, Firing, FiringVerdict, Occurrence, Schedule
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record


def fire(queue: Queue, now: int, firing: Firing) -> Fired:
    """Make the jobs of a firing, unless another scheduler was faster."""
    schedule = queue.schedules.get(firing.schedule)
    if schedule is None or firing.schedule in queue.removed:
        return Fired(FiringVerdict.GONE, now, 0, None)
    known = (schedule.paused, schedule.revision, schedule.next_at)
    if known != (False, firing.revision, firing.expected):
        return Fired(FiringVerdict.MOVED, now, 0, schedule)
    newest = max((one.instant for one in firing.occurrences), default=firing.expected)
    if newest > now:
        return Fired(FiringVerdict.EARLY, now, 0, schedule)
    made, queued = 0, False
    verdict, following = FiringVerdict.FIRED, firing.following
    if schedule.overlap == "queue":
        queue.advance_line(schedule.name, now)
    room = queue.room() - max(0, len(queue.lines.get(schedule.name, ())) - 1)
    if not firing.occurrences:
        schedule = evolve(schedule, last_at=firing.expected)
    for one in firing.occurrences:
        if one.instant > (schedule.last_at or 0) and one.id not in queue.jobs:
            if schedule.overlap == "skip" and queue.is_unfinished(schedule.last_job):
                schedule = evolve(schedule, skipped=schedule.skipped + 1)
            elif room < 1:
                verdict, following = FiringVerdict.FULL, one.instant
                break
            else:
                queued |= _make(queue, now, firing.function, schedule, one)
                room -= 1
                made, schedule = made + 1, evolve(schedule, last_job=one.id)
        schedule = evolve(schedule, last_at=one.instant)
    schedule = queue.schedules[schedule.name] = evolve(schedule, next_at=following)
    queue.publish(
        f"{queue.prefix}due", f"cron {schedule.revision} {following} {schedule.name}".encode()
    )
    if queued:
        queue.wake()
    return Fired(verdict, now, made, schedule)


def _make(queue: Queue, now: int, function: str, schedule: Schedule, one: Occurrence) -> bool:
    """Make one job; whether a worker can take it."""
    new = NewJob(id=one.id, function=function, arguments=schedule.arguments, source=one.source)
    job = queue.jobs[one.id] = Record.of(new, now)
    job.due = one.due
    behind = False
    if schedule.overlap == "queue":
        job.serial = schedule.name
        line = queue.lines.setdefault(schedule.name, [])
        behind = bool(line)
        line.append(job.id)
    if behind:
        job.wait_in_line()
    elif job.due > now:
        queue.to_schedule(job, job.due)
    else:
        queue.to_lane(job, first=False)
    queue.emit(
        job.status.value,
        job,
        name=function,
        arguments=job.arguments,
        priority=0,
        due=job.due,
        source=job.source,
    )
    return bool(job.lane)
