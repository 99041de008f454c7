"""One attempt: from the claimed job to its outcome, in small steps."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from math import inf
from time import perf_counter

import anyio
from attrs import define, field

from upnext.contracts.codec import decode_failure
from upnext.model.job import Job
from upnext.model.outcome import Ending, Outcome
from upnext.model.status import CancelReason
from upnext.redis.loops import Primitives, primitives
from upnext.tasks.context import Context, Host, current_context
from upnext.tasks.definition import TaskDefinition
from upnext.worker.execution import verdict
from upnext.worker.execution.blame import (
    is_cancellation,
    is_of_expired_jobs,
    is_the_jobs,
    without_the_jobs,
)
from upnext.worker.execution.failure import failure_of, message_of, users_part
from upnext.worker.execution.hook_calls import HookCalls
from upnext.worker.execution.invoke import Invocation, NotEncodableError, RemoteError
from upnext.worker.execution.running import Attempted, Running
from upnext.worker.execution.slots import SlotHolder
from upnext.worker.execution.strays import outlive, undisturbed
from upnext.worker.execution.unwinding import Unwinding
from upnext.worker.log import logger
from upnext.worker.store_clock import StoreClock

SAME_MOMENT = 0.25
"""Seconds by which this process may reckon a time of the store's clock too late."""


@define(eq=False)
class Attempt:
    """Runs jobs of one task, one attempt at a call."""

    definition: TaskDefinition
    invoke: Invocation
    running: Running
    clock: StoreClock
    unwinding: Unwinding
    unseen: bool = False
    """Whether the function runs in another process: what it submits there is not known here."""
    hooks: HookCalls | None = None
    """Those for after the attempt; `on_start` is a part of `invoke`."""
    host: Host | None = None
    """Has what its jobs say written; None: nobody listens."""
    loop: Primitives = field(factory=primitives, init=False)

    async def run(self, job: Job, slot: SlotHolder, settle: Callable[[Outcome], None]) -> None:
        """Run the job once, and say what is to become of it.

        Args:
            job: The job.
            slot: Its slot, for when it waits for other jobs.
            settle: Told how it ended; not called when the job is another worker's by now.

        Cancelling it (a hard stop) cancels the function and hands the job back. A function that
        is over already is settled as it ended.
        """
        now = self.loop.time()
        context = Context.of(job, self.definition, self.clock.store_time(now), slot, self.host)
        token = current_context.set(context)
        limit, at_limit = self._limit(job, now)
        attempted = self.running.begin(job, self.loop.scope(deadline=limit))
        if logger.is_enabled_for(logging.DEBUG):
            logger.debug("%s (%s): attempt %d starts", job.function, job.id, job.attempt)
        over, settled, outcome = False, False, None
        try:
            if limit <= now and at_limit is CancelReason.DEADLINE:
                late = "the deadline passed before a slot was free"
                outcome, error = verdict.expired(job, 0, late), None
            else:
                outcome, error = await self._attempt(attempted, context, at_limit)
            if outcome is not None and outcome.ending is Ending.RETRY and job.deadline is not None:
                outcome = verdict.in_time(outcome, self._left(job.deadline))
            over, attempted.outcome = True, outcome
            if attempted.reason is CancelReason.USER and self._may_be_parent(job, slot):
                slot.leave()
                below = partial(self.unwinding.below, job, attempted.message)
                await undisturbed(below, job.held)
            if outcome is not None:
                self._report(job, outcome, error)
                if self.hooks is not None:
                    settled = True
                    await self.hooks.after(context, outcome, error, partial(_end, context, settle))
        finally:
            if not over:
                context.was_cancelled(CancelReason.SHUTDOWN, "the worker stops")
            if context.said is not None:
                context.close()  # before the outcome: what it said is written first
            self.running.end(job)
            current_context.reset(token)
            if not over:
                outcome = verdict.handed_back(job)
            if outcome is not None and not settled:
                settle(outcome)

    async def _attempt(
        self, attempted: Attempted, context: Context, at_limit: CancelReason
    ) -> tuple[Outcome | None, BaseException | None]:
        job, scope = attempted.job, attempted.scope
        began = perf_counter()
        error: BaseException | None = None
        result = b""
        try:
            # Errors are looked at outside the scope: on their way out of it, those that come
            # together with its own cancellation lose that.
            with scope:
                result = await self.invoke(self.definition, job.arguments, context)
        except BaseException as raised:
            if not is_the_jobs(raised):
                raise without_the_jobs(raised) from None
            error = raised
        duration = round((perf_counter() - began) * 1000)
        if self.loop.cancels():  # an executor's task had none before the job
            await outlive(0, job.held)
        if scope.cancelled_caught or (scope.cancel_called and is_cancellation(error)):
            # Not caught: on asyncio a scope leaves its own to a task that was cancelled otherwise,
            # too. No recorded reason: nobody cancelled the scope, so its own deadline did.
            reason = attempted.reason or at_limit
            text = attempted.message
            context.was_cancelled(reason, text)
            return verdict.interrupted(job, self.definition, reason, text, duration), None
        if error is not None:
            if anyio.current_effective_deadline() == -inf:  # a hard stop made it fail
                return verdict.handed_back(job), error
            return self._raised(job, error, duration), error
        return verdict.completed(job, result, duration), None

    def _may_be_parent(self, job: Job, slot: SlotHolder) -> bool:
        """Whether the job may have submitted others, in this attempt or before."""
        return slot.parent or job.delivery > 1 or self.unseen

    def _limit(self, job: Job, now: float) -> tuple[float, CancelReason]:
        """When the function must be over, on the event loop's clock, and what that means."""
        timeout = self.definition.timeout
        limit = inf if timeout is None else now + timeout
        if job.deadline is not None:
            deadline = self.clock.loop_time(job.deadline)
            if deadline < limit:
                return deadline, CancelReason.DEADLINE
        return limit, CancelReason.TIMEOUT

    def _left(self, deadline: int) -> float:
        """Seconds until a time of the store's clock."""
        return self.clock.loop_time(deadline) - self.loop.time()

    def _raised(self, job: Job, error: BaseException, duration: int) -> Outcome:
        definition = self.definition
        if isinstance(error, NotEncodableError):
            failure = failure_of(error.problem, error.prefix)
            return verdict.failed(job, definition, failure, duration, retryable=False)
        if not isinstance(error, RemoteError):
            if self._shares_missed_deadline(job, error):
                late = "the deadline passed while it waited for other jobs"
                return verdict.expired(job, duration, late)
            return verdict.raised(job, definition, error, duration)
        answer = error.answer
        if answer.control is not None:
            return verdict.controlled(job, definition, answer.control, error.failure, duration)
        return verdict.failed(job, definition, error.failure, duration, retryable=answer.retryable)

    def _shares_missed_deadline(self, job: Job, error: BaseException) -> bool:
        """Whether it failed only because it heard of the end of jobs it waited for, which had the
        same deadline, before it heard of its own."""
        if job.deadline is None or not is_of_expired_jobs(error):
            return False
        return self._left(job.deadline) < SAME_MOMENT

    def _report(self, job: Job, outcome: Outcome, error: BaseException | None) -> None:
        if outcome.ending is Ending.COMPLETE:
            if logger.is_enabled_for(logging.DEBUG):
                logger.debug("%s (%s): complete, %d ms", job.function, job.id, outcome.duration)
            return
        failed = outcome.ending is Ending.FAILED
        logger.log(
            logging.ERROR if failed else logging.WARNING,
            "%s (%s), attempt %d of %d: %s%s",
            job.function,
            job.id,
            job.attempt,
            self.definition.max_attempts,
            _SAID[outcome.ending],
            f": {_why(outcome, error)}",
            extra={
                "job_id": job.id,
                "function": job.function,
                "attempt": job.attempt,
                "delivery": job.delivery,
                "ending": outcome.ending.value,
            },
            exc_info=_shown(error) if failed else None,
        )


def _end(context: Context, settle: Callable[[Outcome], None], outcome: Outcome) -> None:
    """Settle; what the job said is written before its end is."""
    if context.said is not None:
        context.close()
    settle(outcome)


def _shown(error: BaseException | None) -> BaseException | None:
    """What the log shows of an error: the user's frames. Another process's are gone."""
    if error is None or isinstance(error, RemoteError):
        return None
    return error.with_traceback(users_part(error))


def _why(outcome: Outcome, error: BaseException | None) -> str:
    if error is not None:
        return _said(error)
    failure = decode_failure(outcome.error)  # a timeout's, which no exception stands behind
    return outcome.reason if failure is None else failure.message


def _said(error: BaseException) -> str:
    if isinstance(error, RemoteError):
        return f"{error.failure.type}: {error.failure.message}"
    return f"{type(error).__name__}: {message_of(error)}"


_SAID = {
    Ending.FAILED: "failed",
    Ending.CANCELLED: "cancelled",
    Ending.EXPIRED: "expired",
    Ending.RETRY: "failed and will be tried again",
    Ending.SNOOZE: "put off",
    Ending.RELEASE: "handed back",
}
