"""Rescue: requeue jobs whose lease ran out; the twin of `rescue.lua`."""

from __future__ import annotations

import json

from upnext.model.job import Rescued
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record


def rescue(
    queue: Queue, now: int, rescuer: str, lease: int, as_of: int, most: int | None = None
) -> Rescued:
    """Take jobs from owners that did not renew for so long, never from the rescuer itself.

    A request that comes much later than it was made takes nothing: leases of the living ran out
    meanwhile, and they must have the chance to renew first. A job lost with its worker as often
    as allowed (`most`, or what the bounds say) is buried: failed, and a dead letter.
    """
    allowed = queue.bounds.most_rescues if most is None else most
    if now - as_of > lease // 6:
        return Rescued([], [], True)
    out = Rescued([], [])
    for job in queue.held():
        job.renewed = min(job.renewed, now)  # the clock was set back: its lease begins anew
        if now - job.renewed >= lease and job.worker != rescuer:
            _rescue_one(queue, now, job, allowed, out)
    if out.requeued:
        queue.wake()
    return out


def _rescue_one(queue: Queue, now: int, job: Record, most: int, out: Rescued) -> None:
    queue.let_go(job)
    owner, job.worker = job.worker, ""
    job.rescues += 1
    if job.cancel is not None:
        queue.finish(job, now, JobStatus.CANCELLED, reason=job.cancel, worker=owner)
    elif job.rescues >= most:
        out.buried.append(job.id)
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
        queue.bury(job, now)
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
