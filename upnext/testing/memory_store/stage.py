"""Stage: move due jobs from the schedule to their lanes; the twin of `stage.lua`."""

from __future__ import annotations

from upnext.model.job import Staged
from upnext.store.stage import MOST_PER_CALL
from upnext.testing.memory_store.queue import Queue


def stage(queue: Queue, now: int, function: str) -> Staged:
    """Move what is due, the earliest first, and say when to come again."""
    moved = 0
    while moved < MOST_PER_CALL and (first := queue.first_scheduled()) is not None:
        if queue.scheduled[first] > now:
            break
        del queue.scheduled[first]
        job = queue.jobs[first]
        queue.to_lane(job, first=False)
        queue.emit("queued", job, attempt=job.attempt)
        moved += 1
    if moved:
        queue.wake()
    first = queue.first_scheduled()
    next_due_in = None if first is None else max(0, queue.scheduled[first] - now)
    return Staged(function, moved, next_due_in)
