"""What a worker has around the call of a task's function: state, middleware, on_start.

Each is put around the invocation when the worker is composed, if it is there at all. So it has
the attempt's scope and timeout, and a job for which nothing is declared passes through nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

from attrs import define, frozen

from upnext.errors import CodecError
from upnext.tasks.context import Context
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.hooks import name_of
from upnext.tasks.middleware import Middleware
from upnext.worker.execution.blame import is_cancellation, is_the_jobs
from upnext.worker.execution.hook_calls import HookCalls
from upnext.worker.execution.invoke import Invocation
from upnext.worker.lifespan import Life
from upnext.worker.log import logger


class MiddlewareError(RuntimeError):
    """A middleware does not do what one must; the job fails with this."""


def around(
    invoke: Invocation,
    *,
    life: Life | None = None,
    middleware: Sequence[Middleware] = (),
    hooks: HookCalls | None = None,
) -> Invocation:
    """Put around a call what there is: from the outside in, state, middleware, on_start."""
    if hooks is not None and hooks.definition.on_start is not None:
        invoke = _Started(invoke, hooks)
    if middleware:
        invoke = _Through(invoke, tuple(middleware))
    if life is not None:
        invoke = _Stateful(invoke, life)
    return invoke


@define(eq=False)
class _Started:
    inner: Invocation
    hooks: HookCalls

    async def __call__(
        self, definition: TaskDefinition, arguments: bytes, context: Context
    ) -> bytes:
        await self.hooks.start(context)
        return await self.inner(definition, arguments, context)


@define(eq=False)
class _Stateful:
    inner: Invocation
    life: Life

    async def __call__(
        self, definition: TaskDefinition, arguments: bytes, context: Context
    ) -> bytes:
        context.state = self.life.state
        return await self.inner(definition, arguments, context)


@frozen
class _Call:
    definition: TaskDefinition
    arguments: bytes
    context: Context


@define(eq=False)
class _Through:
    """Runs the generators around the call, the first one outermost."""

    inner: Invocation
    middleware: tuple[Middleware, ...]

    async def __call__(
        self, definition: TaskDefinition, arguments: bytes, context: Context
    ) -> bytes:
        result, _ = await self._from(0, _Call(definition, arguments, context))
        return result

    async def _from(self, depth: int, call: _Call) -> tuple[bytes, Any]:
        """Call through the generators from this one on; the result, encoded and as a value."""
        if depth == len(self.middleware):
            result = await self.inner(call.definition, call.arguments, call.context)
            return result, _value(call, result)
        function = self.middleware[depth]
        steps = cast("AsyncGenerator[None, Any]", function(call.context))
        try:
            await anext(steps)
        except StopAsyncIteration:
            raise MiddlewareError(f"the middleware {name_of(function)} does not yield") from None
        try:
            result, value = await self._from(depth + 1, call)
        except BaseException as raised:
            await _throw(function, steps, raised)
            raise
        try:
            await steps.asend(value)
        except StopAsyncIteration:
            return result, value
        await _refuse_second_yield(function, steps)
        raise AssertionError("not reached")


async def _throw(
    function: Middleware, steps: AsyncGenerator[None, Any], raised: BaseException
) -> None:
    """Tell a generator what the job raised. Returns if that is to go on its way; else raises."""
    try:
        await steps.athrow(raised)
    except StopAsyncIteration:
        if is_cancellation(raised) and is_the_jobs(raised):
            # A scope of its own, which is left by now, cut the job off.
            raise MiddlewareError(
                f"the middleware {name_of(function)} cancelled the job and raised nothing"
            ) from None
        return
    except BaseException as other:
        if other is raised or _is_renamed(raised, other):
            return
        if isinstance(other, Exception) and not is_the_jobs(raised):
            logger.warning(
                "the middleware %s failed as a job was cancelled", name_of(function), exc_info=True
            )
            return
        raise
    await _refuse_second_yield(function, steps)


def _is_renamed(raised: BaseException, other: BaseException) -> bool:
    """Generators turn a StopIteration that leaves them into a RuntimeError."""
    stop = isinstance(raised, StopIteration | StopAsyncIteration)
    return stop and isinstance(other, RuntimeError) and other.__cause__ is raised


async def _refuse_second_yield(function: Middleware, steps: AsyncGenerator[None, Any]) -> None:
    await steps.aclose()
    raise MiddlewareError(f"the middleware {name_of(function)} yields more than once")


def _value(call: _Call, result: bytes) -> Any:
    try:
        return call.definition.result.decode(result)
    except CodecError as problem:
        name = call.definition.name
        logger.warning("middleware sees None for the result of %s: %s", name, problem)
        return None
