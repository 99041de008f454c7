"""Claim: hand waiting jobs to a worker; the twin of `claim.lua`."""

from __future__ import annotations

from upnext.model.job import Job
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record

PATIENCE = 1_000
"""Expired jobs that one claim buries at most before it answers."""


def claim(queue: Queue, now: int, worker: str, channel: str, want: int) -> tuple[list[Job], bool]:
    """Take up to `want` jobs; True when more probably wait.

    Highest lane first. One job in five is taken from the lowest lane up, so that low priorities
    never starve.
    """
    jobs: list[Job] = []
    looked = 0

    def read(lane: str, most: int) -> int:
        nonlocal looked
        before = len(jobs)
        while len(jobs) - before < most and looked < want + PATIENCE:
            asked = most - (len(jobs) - before)
            found = queue.lanes.take(lane, asked)
            looked += len(found)
            jobs.extend(job.as_job(now) for job in found if _take(queue, now, worker, job))
            if len(found) < asked:
                break
        return len(jobs) - before

    lanes = queue.lanes.highest_first()
    if len(lanes) > 1:
        queue.share += want
        low = queue.share // 5 - (queue.share - want) // 5
        for lane in reversed(lanes):
            low -= read(lane, low)
    for lane in lanes:
        read(lane, want - len(jobs))

    if len(jobs) < want and looked < want + PATIENCE:
        queue.feel_hungry(channel, now)
        return jobs, False
    queue.wake()  # a full share: more probably waits, and another worker may be free
    return jobs, True


def _take(queue: Queue, now: int, worker: str, job: Record) -> bool:
    if job.deadline is not None and job.deadline <= now:
        late = "the deadline passed before a worker was free"
        queue.finish(job, now, JobStatus.EXPIRED, reason=late)
        return False
    job.status = JobStatus.RUNNING
    job.attempt += 1
    job.delivery += 1
    job.worker, job.claimed, job.renewed = worker, now, now
    queue.emit("running", job, attempt=job.attempt, delivery=job.delivery, worker=worker)
    return True
