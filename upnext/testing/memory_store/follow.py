"""Follow: read what a job has said; the twin of `follow.lua`."""

from __future__ import annotations

from upnext.model.report import Heard
from upnext.testing.memory_store.queue import Queue


def follow(queue: Queue, now: int, job_id: str, what: str, after: str, most: int) -> Heard | None:
    """Read up to `most` entries after one of them; the job's channel is told from now on.

    One that still waits after its deadline ends here.
    """
    job = queue.jobs.get(job_id)
    if job is None:
        return None
    alive = not (job.status.is_terminal() or queue.expire_job(job, now))
    if alive and job.reported is None:
        job.reported = (0, 0)
    kept = {"log": job.log, "out": job.out}.get(what)
    entries = [] if kept is None else kept.after(after, most)
    left = max(0, job.deadline - now) if alive and job.deadline is not None else None
    return Heard(job.status, job.progress, entries, left)
