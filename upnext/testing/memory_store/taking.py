"""How a job becomes a worker's own; the twin of `_taking.lua`."""

from __future__ import annotations

from upnext.contracts.claimed import pack_handed, row_of
from upnext.model.job import Job
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record

PATIENCE = 1_000
"""Expired jobs that one claim buries at most before it answers."""


def take_jobs(queue: Queue, now: int, worker: str, want: int) -> tuple[list[Job], bool]:
    """Take up to `want` jobs; True when nothing is left.

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
    return jobs, len(jobs) < want and looked < want + PATIENCE


def hand_over(queue: Queue, now: int) -> None:
    """Claim one job for the worker that has been hungry longest, and push the job to it."""
    while channel := queue.pop_hungry():
        if not queue.channels.listeners(channel):
            continue
        jobs, dry = take_jobs(queue, now, channel.rpartition(":")[2], 1)
        if jobs:
            queue.publish(channel, pack_handed(queue.prefix, now, row_of(jobs[0])))
        elif dry:
            queue.feel_hungry(channel, now)
        else:
            queue.publish(channel, f"work {queue.prefix}".encode())
        return


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
