"""Rescue: requeue jobs whose lease ran out; the twin of `rescue.lua`."""

from __future__ import annotations

import json

from upnext.model.job import Rescued
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record


def rescue(queue: Queue, now: int, rescuer: str, lease: int, as_of: int) -> Rescued:
    """Take jobs from owners that did not renew for so long, never from the rescuer itself.

    A request that comes much later than it was made takes nothing: leases of the living ran out
    meanwhile, and they must have the chance to renew first. A job lost with its worker as often
    as allowed is buried: failed, and a dead letter.
    """
    if now - as_of > lease // 6:
        return Rescued([], [], True)
    out = Rescued([], [])
    for job in queue.held():
        if now - job.renewed >= lease and job.worker != rescuer:
            _rescue_one(queue, now, job, out)
    if out.requeued:
        queue.wake()
    return out


def _rescue_one(queue: Queue, now: int, job: Record, out: Rescued) -> None:
    queue.let_go(job)
    owner, job.worker = job.worker, ""
    job.rescues += 1
    if job.cancel is not None:
        queue.finish(job, now, JobStatus.CANCELLED, reason=job.cancel, worker=owner)
    elif job.rescues >= queue.bounds.most_rescues:
        out.buried.append(job.id)
        queue.bury(job, now)
        killed = f"killed {job.rescues} workers"
        error = {
            "type": "upnext.WorkerLost",
            "message": killed,
            "traceback": "",
            "reason": "worker_lost",
        }
        queue.finish(
            job,
            now,
            JobStatus.FAILED,
            error=json.dumps(error, separators=(",", ":")).encode(),
            reason=killed,
            worker=owner,
        )
    else:
        out.requeued.append(job.id)
        job.reason = f"lost with worker {owner}"
        queue.emit(
            "rescued",
            job,
            attempt=job.attempt,
            delivery=job.delivery,
            worker=owner,
            reason=job.reason,
        )
        job.attempt -= 1
        queue.to_lane(job, first=True)
        if job.deadline is not None:
            queue.deadlines[job.id] = job.deadline
