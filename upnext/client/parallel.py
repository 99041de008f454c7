"""Many jobs at once, each helper a task group: nothing it started outlives it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, TypeVar, cast, overload

import anyio
from anyio.abc import TaskStatus

from upnext.client.client import Client
from upnext.client.connect import connect
from upnext.client.future import Future
from upnext.client.handle import TaskHandle
from upnext.errors import JobRefusedError
from upnext.model.job import Enqueued, NewJob

__all__ = ["first_completed", "gather", "map_tasks", "submit_many"]

T = TypeVar("T")

Arguments = Mapping[str, Any] | tuple[Any, ...]
"""Arguments of one call: by name, or by position."""

CHUNK = 125
"""Jobs in one write: few enough that the server has something to do early."""
IN_FLIGHT = 2
"""Writes that may be under way: the server takes one in while the next is encoded."""


@overload
async def gather(
    *awaitables: Future[T] | Awaitable[T], return_exceptions: Literal[False] = False
) -> list[T]: ...
@overload
async def gather(
    *awaitables: Future[T] | Awaitable[T], return_exceptions: bool
) -> list[T | Exception]: ...
async def gather(
    *awaitables: Future[Any] | Awaitable[Any], return_exceptions: bool = False
) -> list[Any]:
    """Wait for all of them, together.

    Args:
        *awaitables: A future yields its job's value, anything else what awaiting it gives.
        return_exceptions: Put errors in their places instead of raising the first one.

    Returns:
        The values in the order of the arguments.

    Raises:
        Exception: the first error; waiting for the others is cancelled, their jobs are not.

    Cancelling cancels the waiting for all of them.
    """
    values: list[Any] = [None] * len(awaitables)
    errors: list[Exception] = []

    async def wait_for(place: int, awaitable: Future[Any] | Awaitable[Any]) -> None:
        try:
            values[place] = await _value_of(awaitable)
        except Exception as error:
            if return_exceptions:
                values[place] = error
                return
            errors.append(error)
            group.cancel_scope.cancel("another one failed")

    async with anyio.create_task_group() as group:
        for place, awaitable in enumerate(awaitables):
            group.start_soon(wait_for, place, awaitable)
    if errors:
        raise errors[0]
    return values


async def map_tasks(
    task: TaskHandle[..., T], inputs: Iterable[Arguments], *, concurrency: int = 10
) -> list[T]:
    """Submit a job for each input and wait for all, so many at a time.

    Args:
        task: What to run.
        inputs: Each a mapping of keyword arguments, or a tuple of positional ones.
        concurrency: Most jobs that are under way at once.

    Returns:
        The values in the order of the inputs.

    Raises:
        ValueError: concurrency is less than 1.
        Exception: the first error; nothing more is submitted, and waiting for jobs under way is
            cancelled, the jobs are not.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be 1 or more, not {concurrency}")
    values: dict[int, T] = {}
    errors: list[Exception] = []
    waiting = enumerate(inputs)

    async def work() -> None:
        for place, given in waiting:
            args, kwargs = _spread(given)
            try:
                values[place] = (await task.wait(*args, **kwargs)).value
            except Exception as error:
                errors.append(error)
                group.cancel_scope.cancel("another one failed")
                return

    async with anyio.create_task_group() as group:
        for _ in range(concurrency):
            group.start_soon(work)
    if errors:
        raise errors[0]
    return [values[place] for place in range(len(values))]


async def first_completed(*awaitables: Future[T] | Awaitable[T], timeout: float | None = None) -> T:
    """Wait until one of them succeeds.

    Args:
        *awaitables: A future yields its job's value, anything else what awaiting it gives.
        timeout: Seconds to wait; None: until one succeeds or all have failed.

    Returns:
        The first value. Waiting for the others is cancelled, their jobs are not.

    Raises:
        TimeoutError: none of them succeeded in time.
        Exception: the only one failed.
        ExceptionGroup: all of several failed.
        ValueError: there is nothing to wait for.
    """
    if not awaitables:
        raise ValueError("first_completed() needs at least one future or awaitable")
    values: list[T] = []
    errors: list[Exception] = []

    async def wait_for(awaitable: Future[T] | Awaitable[T]) -> None:
        try:
            values.append(await _value_of(awaitable))
        except Exception as error:
            errors.append(error)
        else:
            group.cancel_scope.cancel("another one was first")

    with anyio.move_on_after(timeout):
        async with anyio.create_task_group() as group:
            for awaitable in awaitables:
                group.start_soon(wait_for, awaitable)
    if values:
        return values[0]
    if len(errors) < len(awaitables):
        raise TimeoutError(f"none of {len(awaitables)} succeeded within {timeout:g} s")
    if len(errors) == 1:
        raise errors[0]
    raise ExceptionGroup(f"all {len(errors)} failed", errors)


async def submit_many(task: TaskHandle[..., T], inputs: Iterable[Arguments]) -> list[Future[T]]:
    """Submit a job for each input, many in one write.

    Args:
        task: What to run; with its options, apart from `key`.
        inputs: Each a mapping of keyword arguments, or a tuple of positional ones. Read as they
            are sent, so a generator of a million of them is fine.

    Returns:
        The jobs, in the order of the inputs.

    Raises:
        TypeError: the function cannot be called with an input; a note says which.
        CodecError: an argument cannot be written as JSON; a note says which.
        ValueError: the task has an idempotency key.
        JobRefusedError: the queue did not accept one; a note says how many it did accept.
        redis.exceptions.RedisError: the queue cannot be reached, or refused the command.

    After an error, and when cancelled, inputs before it may have been submitted.
    """
    if task.key:
        raise ValueError("many jobs cannot share an idempotency key: leave out options(key=…)")
    sending = _Sending(await connect(task.url, task.origin))
    encoded = _jobs(task, inputs)
    try:
        async with anyio.create_task_group() as group:
            while chunk := list(islice(encoded, CHUNK)):
                await sending.room.acquire()
                await group.start(sending.send, chunk)
    except ExceptionGroup as failed:
        raise _first(failed) from None
    return [task.future(answer.id) for answer in sending.accepted()]


class _Sending:
    """The writes of one `submit_many`, and the answers to them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._answers: list[list[Enqueued | JobRefusedError]] = []
        self.room = anyio.Semaphore(IN_FLIGHT)

    async def send(
        self, jobs: list[NewJob], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Send one chunk. Started once it stands behind the chunk before it."""
        place = len(self._answers)
        self._answers.append([])
        try:
            task_status.started()
            self._answers[place] = await self._client.enqueue(jobs)
        finally:
            self.room.release()

    def accepted(self) -> Iterator[Enqueued]:
        """The answers, in order.

        Raises:
            JobRefusedError: one of them is a refusal.
        """
        every = [answer for answers in self._answers for answer in answers]
        for answer in every:
            if isinstance(answer, JobRefusedError):
                accepted = sum(isinstance(other, Enqueued) for other in every)
                answer.add_note(f"{accepted} of {len(every)} were accepted")
                raise answer
            yield answer


def _jobs(task: TaskHandle[..., Any], inputs: Iterable[Arguments]) -> Iterator[NewJob]:
    for place, given in enumerate(inputs):
        try:
            yield task.job(*_spread(given))
        except (TypeError, ValueError) as error:
            error.add_note(f"input number {place}: {given!r:.200}")
            raise


def _spread(given: Arguments) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, tuple):
        return given, {}
    if isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        return (), dict(given)
    raise TypeError(
        f"an input is a dict of keyword arguments or a tuple of positional ones, not {given!r:.80}"
    )


async def _value_of(awaitable: Future[Any] | Awaitable[Any]) -> Any:
    if isinstance(awaitable, Future):
        return await awaitable.value()
    return await awaitable


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseException", error.exceptions[0])
    return error
