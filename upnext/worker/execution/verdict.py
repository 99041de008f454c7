"""What becomes of a job after an attempt: pure decisions, no I/O."""

from __future__ import annotations

import random
from collections.abc import Callable

import orjson
from attrs import asdict, evolve

from upnext.model.job import Job
from upnext.model.outcome import Ending, Failure, Outcome
from upnext.model.status import CancelReason, FailureReason
from upnext.tasks.control import Discard, Retry, Snooze
from upnext.tasks.definition import TaskDefinition
from upnext.worker.execution.failure import failure_of


def completed(job: Job, result: bytes, duration: int) -> Outcome:
    """The function returned."""
    return Outcome(held=job.held, ending=Ending.COMPLETE, result=result, duration=duration)


def raised(job: Job, definition: TaskDefinition, error: BaseException, duration: int) -> Outcome:
    """The function raised: a control exception says what it wants, any other is a failure."""
    if isinstance(error, Retry | Snooze | Discard):
        return controlled(job, definition, error, failure_of(error), duration)
    return failed(
        job,
        definition,
        failure_of(error),
        duration,
        retryable=definition.retries_on(type(error)),
    )


def controlled(
    job: Job,
    definition: TaskDefinition,
    control: Retry | Snooze | Discard,
    failure: Failure,
    duration: int,
) -> Outcome:
    """The function said what it wants to become of the job."""
    if isinstance(control, Retry):
        return failed(job, definition, failure, duration, retryable=True, delay=control.delay)
    ending = Ending.SNOOZE if isinstance(control, Snooze) else Ending.CANCELLED
    return Outcome(
        held=job.held,
        ending=ending,
        delay=_milliseconds(control.seconds) if isinstance(control, Snooze) else 0,
        duration=duration,
        reason=failure.message,
    )


def failed(
    job: Job,
    definition: TaskDefinition,
    failure: Failure,
    duration: int,
    *,
    retryable: bool,
    delay: float | None = None,
    chance: Callable[[], float] = random.random,
) -> Outcome:
    """The attempt failed: try again if the error allows it and an attempt is left."""
    retry = retryable and job.attempt < definition.max_attempts
    if retry and delay is None:
        delay = definition.retry_policy.retry_delay(job.attempt, chance())
    return Outcome(
        held=job.held,
        ending=Ending.RETRY if retry else Ending.FAILED,
        error=orjson.dumps(asdict(failure)),
        delay=_milliseconds(delay or 0.0) if retry else 0,
        duration=duration,
        dead_letter=definition.dead_letter,  # for when the deadline forbids the retry
    )


def in_time(outcome: Outcome, left: float) -> Outcome:
    """A retry that would come after the deadline, `left` seconds away, is a failure.

    The store decides the same by its own clock; hooks and logs should say what it will say.
    """
    if outcome.delay < left * 1000:
        return outcome
    reason = "no time left before the deadline to try again"
    return evolve(outcome, ending=Ending.FAILED, delay=0, reason=reason)


def interrupted(
    job: Job, definition: TaskDefinition, reason: CancelReason, message: str, duration: int
) -> Outcome | None:
    """The attempt's scope was cancelled. None: the job is not ours, there is nothing to settle."""
    if reason is CancelReason.LEASE_LOST:
        return None
    if reason is CancelReason.TIMEOUT:
        failure = Failure(
            type="upnext.TaskTimeoutError",
            message=f"Job {job.id} timed out after {definition.timeout:g}s",
            reason=FailureReason.TIMEOUT,
        )
        return failed(job, definition, failure, duration, retryable=True)
    if reason is CancelReason.DEADLINE:
        return expired(job, duration, "the deadline passed while it ran")
    return Outcome(
        held=job.held, ending=Ending.CANCELLED, duration=duration, reason=message or "cancelled"
    )


def expired(job: Job, duration: int, reason: str) -> Outcome:
    """The deadline passed."""
    return Outcome(held=job.held, ending=Ending.EXPIRED, duration=duration, reason=reason)


def handed_back(job: Job) -> Outcome:
    """A hard stop cut the attempt off: it is not spent."""
    return Outcome(held=job.held, ending=Ending.RELEASE, reason="interrupted: the worker stopped")


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
