"""Ways to call a task's function: here, in a thread, in a process. Bytes in, bytes out."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from anyio import to_process, to_thread
from attrs import define

from upnext.errors import CodecError, ConfigurationError
from upnext.model.outcome import Failure
from upnext.model.report import Pace
from upnext.tasks.context import Context
from upnext.tasks.definition import TaskDefinition
from upnext.tasks.modules import ModuleSource, locate
from upnext.worker.execution.child import Answer, run_in_child
from upnext.worker.execution.child_host import ChildHost
from upnext.worker.queue_config import SyncExecutor
from upnext.worker.reporting.hatch import Hatch

HEARING_LIMIT = 1.0
"""Seconds that the last words of a killed process may take to arrive."""

Invocation = Callable[[TaskDefinition, bytes, Context], Awaitable[bytes]]
"""Call the function with encoded arguments; the encoded result, or what it raised."""


class NotEncodableError(Exception):
    """The arguments cannot be read, or the result cannot be written. Trying again is no use."""

    def __init__(self, prefix: str, problem: CodecError) -> None:
        super().__init__(f"{prefix}{problem}")
        self.prefix = prefix
        self.problem = problem


class WorkerProcessDiedError(RuntimeError):
    """The process that was to run the job is gone, or could not start."""

    def __init__(self, obstacle: BaseException | None = None) -> None:
        super().__init__(
            "the worker process died with the job: killed, out of memory, or os._exit()"
            if obstacle is None
            else f"a worker process cannot start: {type(obstacle).__name__}: {obstacle}"
        )


class RemoteError(Exception):
    """The function raised in another process; the answer is what is left of it."""

    def __init__(self, answer: Answer, failure: Failure) -> None:
        super().__init__(failure.message)
        self.answer = answer
        self.failure = failure


@define(eq=False)
class Invocations:
    """Chooses how functions are called, and owns the limits of threads and processes."""

    sync_executor: SyncExecutor
    threads: anyio.CapacityLimiter
    processes: anyio.CapacityLimiter
    hatch: Hatch | None = None

    def of(self, definition: TaskDefinition) -> Invocation:
        """How this task's function is called."""
        if definition.is_async:
            return in_loop
        if self.sync_executor is SyncExecutor.PROCESS:
            return InProcess(_source_of(definition), self.processes, self.hatch)
        return partial(in_thread, self.threads)


async def in_loop(definition: TaskDefinition, arguments: bytes, context: Context) -> bytes:
    """Await an async function on the event loop."""
    args, kwargs = _read(definition, arguments)
    return _write(definition, await definition.function(*args, **kwargs))


async def in_thread(
    threads: anyio.CapacityLimiter, definition: TaskDefinition, arguments: bytes, context: Context
) -> bytes:
    """Call a sync function in a thread.

    A thread cannot be interrupted: cancelled, it is left behind and ends when it calls
    `upnext.check_cancelled()` or is done.
    """
    args, kwargs = _read(definition, arguments)
    call = partial(_boxed, definition.function, args, kwargs)
    (value,) = await to_thread.run_sync(call, limiter=threads, abandon_on_cancel=True)
    if inspect.isawaitable(value):  # a sync function that returns a coroutine, such as a lambda
        value = await value
    return _write(definition, value)


def _boxed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any]:
    # Trio takes a thread that returns a bare coroutine for a mistake.
    return (function(*args, **kwargs),)


@define(eq=False)
class InProcess:
    """Calls a sync function in a reusable process; cancelled, the process is killed."""

    source: ModuleSource
    processes: anyio.CapacityLimiter
    hatch: Hatch | None = None
    """Where the process hands in what the job says."""

    async def __call__(
        self, definition: TaskDefinition, arguments: bytes, context: Context
    ) -> bytes:
        try:
            answer = await self._call(definition, arguments, context)
        except (KeyboardInterrupt, ProcessLookupError, anyio.BrokenWorkerProcess) as error:
            if not _came_too_early(error):
                raise WorkerProcessDiedError from None
            answer = await self._call_again(definition, arguments, context)
        finally:
            if self.hatch is not None and (over := self.hatch.leave(context.held)) is not None:
                context.has_spoken()
                if not over.is_set():  # it was killed; what it said last is still on its way
                    with anyio.move_on_after(HEARING_LIMIT, shield=True):
                        await over.wait()
        if answer.failure is not None:
            raise RemoteError(answer, answer.failure)
        assert answer.result is not None
        return answer.result

    async def _call_again(
        self, definition: TaskDefinition, arguments: bytes, context: Context
    ) -> Answer:
        try:
            return await self._call(definition, arguments, context)
        except anyio.BrokenWorkerProcess as error:
            raise WorkerProcessDiedError(error.__cause__) from None

    async def _call(self, definition: TaskDefinition, arguments: bytes, context: Context) -> Answer:
        return await to_process.run_sync(
            run_in_child,
            self.source,
            definition.qualname,
            definition.name,
            arguments,
            context.portable(),  # a process keeps its slot while it waits
            self._host_of(context),
            cancellable=True,
            limiter=self.processes,
        )

    def _host_of(self, context: Context) -> ChildHost | None:
        if self.hatch is None:
            return None
        left = context.time_left()
        return ChildHost(
            address=self.hatch.address,
            ends_at=None if left is None else time.monotonic() + left,
            pace=Pace(context.progress_min_delta, context.progress_min_interval_seconds),
            captures_logs=context.captures_logs,
            levels=(
                logging.getLogger().level,
                logging.getLogger("upnext.job").getEffectiveLevel(),
            ),
        )


def _came_too_early(error: BaseException) -> bool:
    """Whether a process ended before it called the function.

    Ctrl+C reaches the whole process group, and a process that only just starts does not know yet
    that it leaves stopping to its parent. The job is not to blame, nor is it ours to drop.
    """
    # AnyIO does not find a process any more that it wants to kill because it did not start.
    early = isinstance(error, KeyboardInterrupt | ProcessLookupError)
    return early or "initialization" in str(error)


def _source_of(definition: TaskDefinition) -> ModuleSource:
    if "<" in definition.qualname:
        raise ConfigurationError(
            f"{definition.name} ({definition.place}) cannot run in a worker process: it is defined"
            " inside a function. Move it to the top of its module, or use SyncExecutor.THREAD."
        )
    return locate(definition.module)


def _read(definition: TaskDefinition, arguments: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        return definition.arguments.decode(arguments)
    except CodecError as problem:
        raise NotEncodableError("the arguments do not fit the function: ", problem) from problem


def _write(definition: TaskDefinition, value: object) -> bytes:
    try:
        return definition.result.encode(value)
    except CodecError as problem:
        raise NotEncodableError("the result cannot be stored: ", problem) from problem
