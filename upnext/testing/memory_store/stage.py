"""Stage: move due jobs from the schedule to their lanes, and end those that are late; the twin of
`stage.lua`."""

from __future__ import annotations

from upnext.model.dedupe import DedupeKind
from upnext.model.job import Staged
from upnext.store.stage import MOST_PER_CALL
from upnext.testing.memory_store.queue import Queue


def stage(queue: Queue, now: int, function: str) -> Staged:
    """Move what is due, the earliest first, end what is late, and say when to come again."""
    late = sorted((at, job) for job, at in queue.deadlines.items() if at <= now)[:MOST_PER_CALL]
    for _, job_id in late:
        del queue.deadlines[job_id]  # of one that runs, too: its worker sees to it
        queue.expire_job(queue.jobs[job_id], now)
    moved = 0
    while moved < MOST_PER_CALL and (first := queue.first_scheduled()) is not None:
        if queue.scheduled[first] > now:
            break
        del queue.scheduled[first]
        job = queue.jobs[first]
        queue.to_lane(job, first=False)
        if job.dedupe is not None and job.dedupe.kind is DedupeKind.DEBOUNCE:
            queue.marks.drop(job.dedupe.mark, job.id)  # its window is over
        queue.emit("queued", job, attempt=job.attempt)
        moved += 1
    if moved:
        queue.wake()
    if len(late) == MOST_PER_CALL:
        return Staged(function, moved, 0)  # more may be late
    first = queue.first_scheduled()
    next_due_in = None if first is None else max(0, queue.scheduled[first] - now)
    return Staged(function, moved, next_due_in)
