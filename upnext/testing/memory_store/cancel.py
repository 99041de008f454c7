"""Cancel: a job, or one function's part of what is below a job; the twin of `cancel.lua`."""

from __future__ import annotations

from upnext.model.lineage import Member
from upnext.model.status import JobStatus
from upnext.store.cancel import CancelVerdict, Head
from upnext.testing.memory_store.queue import Queue


def cancel(
    queue: Queue, now: int, job_id: str, reason: str, channels: str, *, quiet: bool = False
) -> CancelVerdict:
    """Cancel one job; `channels` precedes a worker's id in its channel's name.

    Args:
        queue: Its function's queue.
        now: The time.
        job_id: The job.
        reason: Why, in words.
        channels: What precedes a worker's id in the name of its channel.
        quiet: Do not tell a worker twice.
    """
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
        elif quiet:
            return CancelVerdict.REQUESTED
        message = f"cancel {job_id} {job.delivery} {reason}"
        queue.publish(channels + job.worker, message.encode())
        return CancelVerdict.REQUESTED
    queue.unqueue(job)
    queue.finish(job, now, JobStatus.CANCELLED, reason=reason)
    return CancelVerdict.CANCELLED


def cancel_head(queue: Queue, now: int, job_id: str, reason: str, channels: str) -> Head:
    """Cancel one job, and have it accept no more children."""
    job = queue.jobs.get(job_id)
    ran, root = job is None or job.delivery > 0, job_id if job is None else job.root or job_id
    verdict = cancel(queue, now, job_id, reason, channels)
    if ran:
        queue.mark_cancelled(root, job_id, now)
    return Head(job_id, verdict, root, ran)


def cancel_below(queue: Queue, now: int, head: Head, reason: str, channels: str) -> int:
    """Cancel the unfinished jobs below a job, and refuse new ones; counts those reached."""
    queue.mark_cancelled(head.root_id, head.id, now)
    below = queue.below(head.root_id, head.id)
    return sum(cancel(queue, now, job.id, reason, channels).reached for job in below)


def unwind(
    queue: Queue, now: int, member: Member, own: bool, reason: str, channels: str, listener: str
) -> list[str] | None:
    """Cancel what is below a cancelled job; the answer names the jobs there that run on.

    None: the job's `own` function says that it was cancelled without those below it.
    """
    if not queue.is_cancelled(member.root_id, [*member.path.split(), member.id]):
        if own:
            return None
        queue.mark_cancelled(member.root_id, member.id, now)
    live: list[str] = []
    for job in queue.below(member.root_id, member.id):
        verdict = cancel(queue, now, job.id, reason, channels, quiet=True)
        if verdict is CancelVerdict.REQUESTED:
            job.join(listener)
            live.append(job.id)
    return live
