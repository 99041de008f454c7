"""Recover: tell a worker again what it owns; the twin of `recover.lua`."""

from __future__ import annotations

from collections.abc import Container

from upnext.model.job import Job
from upnext.testing.memory_store.queue import Queue


def recover(queue: Queue, now: int, worker: str, known: Container[str]) -> list[Job]:
    """The jobs a worker owns but does not know of, because the reply to a claim was lost."""
    return [job.as_job(now) for job in queue.held(worker) if job.id not in known]
