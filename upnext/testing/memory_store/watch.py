"""Watch: read a job, and be told when it ends; the twin of `watch.lua`."""

from __future__ import annotations

from upnext.model.job import JobRecord
from upnext.testing.memory_store.queue import Queue


def watch(queue: Queue, job_id: str, channel: str) -> JobRecord | None:
    """Read a job; unless it is over, `channel` (if any) gets a notice when it is."""
    job = queue.jobs.get(job_id)
    if job is None:
        return None
    if not job.status.is_terminal():
        job.join(channel)
    return job.as_record()
