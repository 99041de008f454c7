"""Settle: write down how attempts ended; the twin of `settle.lua`."""

from __future__ import annotations

from upnext.model.outcome import Ending, Outcome, Settled
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record

_AGAIN = frozenset({Ending.RETRY, Ending.SNOOZE, Ending.RELEASE})


def settle(queue: Queue, now: int, worker: str, outcome: Outcome) -> Settled:
    """End an attempt, if this delivery still owns the job."""
    job = queue.jobs.get(outcome.held.id)
    if job is None or (job.worker, job.delivery) != (worker, outcome.held.delivery):
        return Settled.STALE
    if job.status is not JobStatus.RUNNING:
        return Settled.REPEATED

    ending, reason = outcome.ending, outcome.reason
    if job.cancel is not None and (ending in _AGAIN or ending is Ending.FAILED):
        ending, reason = Ending.CANCELLED, job.cancel
    if ending is Ending.RETRY and job.deadline is not None and now + outcome.delay >= job.deadline:
        ending, reason = Ending.FAILED, "no time left before the deadline to try again"

    queue.let_go(job)
    started = now - outcome.duration
    if ending in _AGAIN:
        _run_again(queue, now, job, ending, outcome, started)
    else:
        queue.finish(
            job,
            now,
            JobStatus(ending.value),
            result=outcome.result,
            error=outcome.error,
            reason=reason,
            started=started,
        )
        if ending is Ending.FAILED and outcome.dead_letter:
            queue.bury(job, now)
    return Settled.APPLIED


def _run_again(
    queue: Queue, now: int, job: Record, ending: Ending, outcome: Outcome, started: int
) -> None:
    spent = job.attempt
    if ending is not Ending.RETRY:
        job.attempt -= 1
    job.due, job.reason = now + outcome.delay, outcome.reason
    job.error = outcome.error or job.error
    if ending is not Ending.RELEASE:
        job.rescues = 0  # it came back from its worker
    if job.deadline is not None:
        queue.deadlines[job.id] = job.deadline
    if outcome.delay > 0:
        queue.to_schedule(job, job.due)
    else:
        if ending is Ending.RELEASE:
            queue.unwilling = job.worker
        queue.to_lane(job, first=ending is Ending.RELEASE)
        queue.wake()
    queue.emit(
        ending.value,
        job,
        attempt=spent,
        delivery=job.delivery,
        worker=job.worker,
        started=started,
        due=job.due,
        error=outcome.error,
        reason=outcome.reason,
    )
