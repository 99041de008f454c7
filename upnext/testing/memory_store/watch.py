"""Watch: read a job, and be told when it ends; the twin of `watch.lua`."""

from __future__ import annotations

from attrs import evolve

from upnext.model.job import JobRecord
from upnext.testing.memory_store.queue import Queue


def watch(queue: Queue, now: int, job_id: str, channel: str) -> JobRecord | None:
    """Read a job; unless it is over, `channel` (if any) gets a notice when it is.

    One that still waits after its deadline ends here.
    """
    job = queue.jobs.get(job_id)
    if job is None:
        return None
    if job.status.is_terminal() or queue.expire_job(job, now):
        return job.as_record()
    job.join(channel)
    if job.deadline is None:
        return job.as_record()
    return evolve(job.as_record(), time_left=max(0, job.deadline - now))
