"""Claim: hand waiting jobs to a worker; the twin of `claim.lua`."""

from __future__ import annotations

from upnext.model.job import Job
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.taking import take_jobs


def claim(queue: Queue, now: int, worker: str, channel: str, want: int) -> tuple[list[Job], bool]:
    """Take up to `want` jobs; True when more probably wait."""
    jobs, dry = take_jobs(queue, now, worker, want)
    if dry:
        queue.feel_hungry(channel, now)
    else:
        queue.wake()  # a full share: more probably waits, and another worker may be free
    return jobs, not dry
