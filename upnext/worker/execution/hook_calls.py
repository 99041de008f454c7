"""Calls the hooks of a task, each at its moment.

    on_start ► the function ► on_success, on_failure, on_retry ► outcome written ► on_complete

`on_start` is part of the attempt, and of its timeout. The others come when the attempt is over and
cannot change what becomes of the job: what they raise is logged, and each is cut off after
`HOOK_LIMIT`. A hard stop cancels them all.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import anyio
from attrs import define

from upnext.contracts.codec import decode_failure
from upnext.errors import CodecError
from upnext.model.outcome import Ending, Outcome
from upnext.redis.loops import primitives
from upnext.tasks.context import Context
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.hooks import Hook, call_hook
from upnext.worker.execution.blame import is_the_jobs, without_the_jobs
from upnext.worker.execution.failure import users_part
from upnext.worker.execution.strays import outlive, undisturbed
from upnext.worker.log import logger
from upnext.worker.settlement.receipts import Receipts

HOOK_LIMIT = 30.0
"""Seconds that one hook may take after the attempt."""


@define(eq=False)
class HookCalls:
    """The hooks of one task; a task without hooks has no such object."""

    definition: TaskDefinition
    threads: anyio.CapacityLimiter
    """Bounds the threads of sync hooks."""
    receipts: Receipts

    async def start(self, context: Context) -> None:
        """Before the function; runs inside the attempt's scope, so that has the limit."""
        await self._call("on_start", self.definition.on_start, inf, context)

    async def after(
        self,
        context: Context,
        outcome: Outcome,
        error: BaseException | None,
        settle: Callable[[Outcome], None],
    ) -> None:
        """After the attempt. Calls `settle` in any case, between on_success and on_complete."""
        ended = outcome.ending in (Ending.COMPLETE, Ending.FAILED)
        settled = False
        try:
            await self._before_settling(context, outcome, error)
            if not ended or self.definition.on_complete is None:
                return
            with self.receipts.expect(outcome.held) as receipt:
                settled = True
                settle(outcome)
                if await undisturbed(receipt.written, outcome.held):
                    hook = self.definition.on_complete
                    await self._call("on_complete", hook, HOOK_LIMIT, context)
        finally:
            if not settled:
                settle(outcome)

    async def _before_settling(
        self, context: Context, outcome: Outcome, error: BaseException | None
    ) -> None:
        definition = self.definition
        match outcome.ending:
            case Ending.COMPLETE:
                if definition.on_success is not None:
                    await self._succeeded(definition.on_success, context, outcome.result)
            case Ending.RETRY:
                error = error or _stand_in(outcome)
                await self._call("on_retry", definition.on_retry, HOOK_LIMIT, context, error)
            case Ending.FAILED:
                error = error or _stand_in(outcome)
                await self._call("on_failure", definition.on_failure, HOOK_LIMIT, context, error)
            case _:
                pass  # cancelled, expired or put off: no hook speaks of these

    async def _succeeded(self, hook: Hook, context: Context, result: bytes) -> None:
        try:
            value = self.definition.result.decode(result)
        except CodecError as problem:
            logger.warning(
                "on_success of %s (%s) is not called: %s",
                context.function,
                context.job_id,
                problem,
                extra=_said_of(context, "on_success"),
            )
        else:
            await self._call("on_success", hook, HOOK_LIMIT, context, value)

    async def _call(
        self, name: str, hook: Hook | None, limit: float, context: Context, *args: object
    ) -> None:
        if hook is None:
            return
        cancels = primitives().cancels()
        try:
            # Errors are looked at outside the scope, as those of the function are.
            with anyio.move_on_after(limit) as scope:
                await call_hook(hook, context, *args, limiter=self.threads)
        except BaseException as raised:  # a hook's failure is not the job's
            if not is_the_jobs(raised):
                raise without_the_jobs(raised) from None
            logger.warning(
                "%s of %s (%s) failed",
                name,
                context.function,
                context.job_id,
                exc_info=raised.with_traceback(users_part(raised)),
                extra=_said_of(context, name),
            )
        else:
            if scope.cancelled_caught:
                logger.warning(
                    "%s of %s (%s) was cut off after %g s",
                    name,
                    context.function,
                    context.job_id,
                    limit,
                    extra=_said_of(context, name),
                )
        await outlive(cancels, context.held)


def _said_of(context: Context, hook: str) -> dict[str, object]:
    return {
        "job_id": context.job_id,
        "function": context.function,
        "attempt": context.attempt,
        "hook": hook,
    }


def _stand_in(outcome: Outcome) -> TimeoutError:
    """The error of a timeout, which no exception stands behind."""
    failure = decode_failure(outcome.error)
    return TimeoutError("" if failure is None else failure.message)
