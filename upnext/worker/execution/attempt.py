"""One attempt: from the claimed job to its outcome, in small steps."""

from __future__ import annotations

import logging
from math import inf
from time import perf_counter

import anyio
from attrs import define, field

from upnext.model.job import Job
from upnext.model.outcome import Ending, Outcome
from upnext.model.status import CancelReason
from upnext.tasks.context import Context, current_context
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.hooks import Hook, call_hook
from upnext.worker.execution import verdict
from upnext.worker.execution.failure import failure_of
from upnext.worker.execution.invoke import Invocation, NotEncodableError, RemoteError
from upnext.worker.execution.running import Running
from upnext.worker.execution.slots import SlotHolder
from upnext.worker.store_clock import StoreClock

logger = logging.getLogger("upnext.worker")


@define(eq=False)
class Attempt:
    """Runs jobs of one task, one attempt at a call."""

    definition: TaskDefinition
    invoke: Invocation
    running: Running
    clock: StoreClock
    _hooks: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        d = self.definition
        self._hooks = any((d.on_start, d.on_success, d.on_failure, d.on_retry, d.on_complete))

    async def run(self, job: Job, slot: SlotHolder) -> Outcome | None:
        """Run the job once.

        Returns:
            What is to become of it; None when it is another worker's by now.

        Cancelling it (a hard stop) cancels the function; the caller hands the job back.
        """
        context = self._context(job, slot)
        token = current_context.set(context)
        try:
            if self._hooks:
                await self._hook(self.definition.on_start, context)
            outcome, error = await self._attempt(job, context)
            if outcome is not None:
                self._report(job, outcome, error)
                if self._hooks:
                    await self._after(context, outcome, error)
            return outcome
        finally:
            current_context.reset(token)

    async def _attempt(self, job: Job, context: Context) -> tuple[Outcome | None, Exception | None]:
        limit, at_limit = self._limit(job)
        began = perf_counter()
        if at_limit is CancelReason.DEADLINE and limit <= anyio.current_time():
            return verdict.expired(job, 0, "the deadline passed before a slot was free"), None
        error: Exception | None = None
        result = b""
        scope = anyio.CancelScope(deadline=limit)
        attempted = self.running.begin(job, scope)
        with scope:
            try:
                result = await self.invoke(self.definition, job.arguments, context)
            except Exception as raised:  # whatever the user's function raises
                error = raised
            finally:
                self.running.end(job)
        duration = round((perf_counter() - began) * 1000)
        if scope.cancelled_caught:
            # No recorded reason: nobody cancelled the scope, so its own deadline did.
            reason = attempted.reason or at_limit
            text = attempted.message
            return verdict.interrupted(job, self.definition, reason, text, duration), None
        if error is not None:
            return self._raised(job, error, duration), error
        return verdict.completed(job, result, duration), None

    def _context(self, job: Job, slot: SlotHolder) -> Context:
        definition = self.definition
        return Context(
            job_id=job.id,
            job_key=job.key,
            parent_id=job.parent_id,
            root_id=job.root_id,
            attempt=job.attempt,
            max_attempts=definition.max_attempts,
            started_at=self.clock.now() / 1000,
            timeout=definition.timeout,
            deadline=job.deadline,
            function=definition.name,
            function_name=definition.name,
            lender=slot,
        )

    def _limit(self, job: Job) -> tuple[float, CancelReason]:
        """When the function must be over, on the event loop's clock, and what that means."""
        timeout = self.definition.timeout
        limit = inf if timeout is None else anyio.current_time() + timeout
        if job.deadline is not None:
            deadline = self.clock.loop_time(job.deadline)
            if deadline < limit:
                return deadline, CancelReason.DEADLINE
        return limit, CancelReason.TIMEOUT

    def _raised(self, job: Job, error: Exception, duration: int) -> Outcome:
        definition = self.definition
        if isinstance(error, NotEncodableError):
            failure = failure_of(error.problem, error.prefix)
            return verdict.failed(job, definition, failure, duration, retryable=False)
        if not isinstance(error, RemoteError):
            return verdict.raised(job, definition, error, duration)
        answer = error.answer
        if answer.control is not None:
            return verdict.controlled(job, definition, answer.control, error.failure, duration)
        return verdict.failed(job, definition, error.failure, duration, retryable=answer.retryable)

    def _report(self, job: Job, outcome: Outcome, error: Exception | None) -> None:
        if outcome.ending is Ending.COMPLETE:
            return
        level = logging.ERROR if outcome.ending is Ending.FAILED else logging.WARNING
        logger.log(
            level,
            "%s (%s), attempt %d of %d: %s%s",
            job.function,
            job.id,
            job.attempt,
            self.definition.max_attempts,
            _SAID[outcome.ending],
            f": {type(error).__name__}: {error}" if error else f": {outcome.reason}",
            extra={
                "job_id": job.id,
                "function": job.function,
                "attempt": job.attempt,
                "delivery": job.delivery,
                "ending": outcome.ending.value,
            },
        )

    async def _after(self, context: Context, outcome: Outcome, error: Exception | None) -> None:
        definition = self.definition
        match outcome.ending:
            case Ending.COMPLETE:
                await self._hook(definition.on_success, context)
                await self._hook(definition.on_complete, context)
            case Ending.RETRY:
                await self._hook(definition.on_retry, context, error)
            case Ending.FAILED:
                await self._hook(definition.on_failure, context, error)
                await self._hook(definition.on_complete, context)
            case _:
                pass  # cancelled, expired or put off: no hook speaks of these

    async def _hook(self, hook: Hook | None, *args: object) -> None:
        if hook is None:
            return
        try:
            await call_hook(hook, *args)
        except Exception:  # a hook's failure is not the job's
            logger.warning("a hook of %s failed", self.definition.name, exc_info=True)


_SAID = {
    Ending.FAILED: "failed",
    Ending.CANCELLED: "cancelled",
    Ending.EXPIRED: "expired",
    Ending.RETRY: "failed and will be tried again",
    Ending.SNOOZE: "put off",
    Ending.RELEASE: "handed back",
}
