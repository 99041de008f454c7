"""Pick: claim certain jobs; the twin of `pick.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.model.job import Job, Picked
from upnext.model.limits import split_keys
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record
from upnext.testing.memory_store.taking import Taking


def pick(queue: Queue, now: int, worker: str, want: int, ids: Sequence[str]) -> Picked:
    """Take up to `want` of these jobs, wherever they stand in line."""
    taking = Taking(queue, now, worker, want)
    had: list[Job] = []
    barred: list[str] = []
    later: dict[str, int] = {}
    most, looked = want, 0
    if queue.ring.is_gate and want > 0:
        taking.gate = queue.open_gate(now)
        most = min(want, taking.gate.room)
    for job_id in ids:
        if len(taking.jobs) + len(had) >= want:
            break
        looked += 1
        job = queue.jobs.get(job_id)
        if job is None:
            continue
        if job.status is JobStatus.RUNNING and job.worker == worker:
            had.append(job.as_job(now))
        elif job.status is JobStatus.QUEUED and len(taking.jobs) >= most:
            barred.append(job_id)
        elif job.status is JobStatus.QUEUED and (wait := _pick_one(taking, job)) is not None:
            later[job_id] = wait
        if job_id in queue.scheduled:
            later[job_id] = max(0, queue.scheduled[job_id] - now)
    if (gate := taking.gate) is not None:
        queue.ring.close(now, gate, len(taking.jobs), want)
        if gate.later is not None:
            later.update(dict.fromkeys(barred, gate.later))
    return Picked([*taking.jobs, *had], now, looked, later)


def _pick_one(taking: Taking, job: Record) -> int | None:
    """Take a job unless a limit keeps it; milliseconds until it may start, if that is known."""
    queue, ring, now = taking.queue, taking.queue.ring, taking.now
    if not job.keys:
        queue.lanes.drop(job)
        if taking.start(job):
            queue.lanes.picked(job)
        return None
    key, rated = split_keys(job.keys)
    most, rate = ring.limits.most_per_key, ring.limits.rate_per_key
    if most is not None and key and len(ring.busy.get(key, ())) >= most:
        return None
    level = None
    if rate is not None and rated:
        level = ring.level(rated, rate, now)
        if not rate.starts(level):
            return rate.wait(level)
    if taking.start(job):
        queue.lanes.claimed(job)
        if key:
            ring.busy.setdefault(key, set()).add(job.id)
        if rate is not None and level is not None:
            ring.buckets[rated] = rate.after(level, 1, now)
    queue.freed = ring.leave(job) or queue.freed
    return None
