"""Cancel: one job, or all below a root; the twin of `cancel.lua`."""

from __future__ import annotations

from upnext.model.status import JobStatus
from upnext.store.cancel import CancelVerdict
from upnext.testing.memory_store.queue import Queue


def cancel(queue: Queue, now: int, job_id: str, reason: str, channels: str) -> CancelVerdict:
    """Cancel one job; `channels` precedes a worker's id in its channel's name."""
    job = queue.jobs.get(job_id)
    if job is None:
        return CancelVerdict.MISSING
    if job.status.is_terminal():
        return CancelVerdict.FINISHED
    if job.status is JobStatus.RUNNING:
        if job.cancel is None:
            job.cancel = reason
            queue.emit(
                "cancel_requested", job, attempt=job.attempt, worker=job.worker, reason=reason
            )
        message = f"cancel {job_id} {job.delivery} {reason}"
        queue.publish(channels + job.worker, message.encode())
        return CancelVerdict.REQUESTED
    if job.status is JobStatus.SCHEDULED:
        queue.scheduled.pop(job_id, None)  # one that stands in line is not there
    elif job.keys:
        queue.freed = queue.ring.leave(job) or queue.freed
    else:
        queue.lanes.drop(job)
    queue.finish(job, now, JobStatus.CANCELLED, reason=reason)
    return CancelVerdict.CANCELLED


def cancel_tree(queue: Queue, now: int, root_id: str, reason: str, channels: str) -> int:
    """Cancel the unfinished jobs below a root, and refuse new ones; counts those reached."""
    queue.mark_cancelled(root_id, now)
    family = sorted(queue.families.get(root_id, ()))
    for job_id in family:
        cancel(queue, now, job_id, reason, channels)
    return len(family)
