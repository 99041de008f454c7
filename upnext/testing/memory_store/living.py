"""Living: which jobs below a job are not over; the twin of `living.lua`."""

from __future__ import annotations

from upnext.testing.memory_store.queue import Queue


def living(queue: Queue, root_id: str, job_id: str) -> list[str]:
    """The ids of one function's unfinished jobs below a job."""
    return [job.id for job in queue.below(root_id, job_id)]
