"""Purge: delete dead letters; the twin of `purge.lua`."""

from __future__ import annotations

from collections.abc import Iterable

from upnext.testing.memory_store.queue import Queue


def purge(queue: Queue, ids: Iterable[str]) -> int:
    """Delete letters with their records; the answer counts those there were."""
    purged = [job_id for job_id in ids if queue.dead.pop(job_id, None) is not None]
    for job_id in purged:
        queue.jobs.pop(job_id, None)
    return len(purged)
