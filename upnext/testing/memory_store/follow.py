"""Follow: read what a job has said; the twin of `follow.lua`."""

from __future__ import annotations

from upnext.model.report import Heard
from upnext.testing.memory_store.queue import Queue


def follow(queue: Queue, job_id: str, what: str, after: str, most: int) -> Heard | None:
    """Read up to `most` entries after one of them; the job's channel is told from now on."""
    job = queue.jobs.get(job_id)
    if job is None:
        return None
    if not job.status.is_terminal() and job.reported is None:
        job.reported = (0, 0)
    kept = {"log": job.log, "out": job.out}.get(what)
    return Heard(job.status, job.progress, [] if kept is None else kept.after(after, most))
