"""How a job comes into being; the twin of `_submitting.lua`."""

from __future__ import annotations

from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record


def accept(queue: Queue, now: int, job: Record, *, behind: bool = False) -> bool:
    """Put a new job where it waits; `behind`: for another job to end.

    Returns:
        Whether a worker may claim something now that it could not before.
    """
    queue.jobs[job.id] = job
    claimable = False
    if behind:
        job.status = JobStatus.SCHEDULED
    elif job.due > now:
        queue.to_schedule(job, job.due)
    else:
        claimable = queue.to_lane(job, first=False)
    if job.key:
        queue.holders[job.key] = job.id
    if job.parent:
        queue.families.setdefault(job.root, set()).add(job.id)
    queue.limit(job, job.deadline)
    if job.dedupe is not None:
        queue.marks.take(job.id, job.dedupe, now, behind=behind)
    tell_accepted(queue, job, job.status.value)
    return claimable


def tell_accepted(queue: Queue, job: Record, kind: str) -> None:
    """Tell history of a new job."""
    queue.emit(
        kind,
        job,
        name=job.function,
        arguments=job.arguments,
        priority=job.priority,
        due=job.due,
        deadline="" if job.deadline is None else job.deadline,
        key=job.key,
        parent=job.parent,
        root=job.root,
        source=job.source,
    )
