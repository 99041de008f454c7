"""Many jobs at once, each helper a task group: nothing it started outlives it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar, cast, overload

import anyio
from anyio.abc import TaskStatus
from redis.exceptions import RedisError

from upnext.client.client import Client, waited_for
from upnext.client.connect import connect
from upnext.client.future import Future
from upnext.client.handle import TaskHandle
from upnext.errors import JobRefusedError
from upnext.model.job import Enqueued, NewJob

__all__ = ["first_completed", "gather", "map_tasks", "submit_many"]

T = TypeVar("T")

logger = logging.getLogger("upnext.client")

Arguments = Mapping[str, Any] | tuple[Any, ...]
"""Arguments of one call: by name, or by position."""

CHUNK = 125
"""Jobs in one write: few enough that the server has something to do early."""
IN_FLIGHT = 2
"""Writes that may be under way: the server takes one in while the next is encoded."""


@overload
async def gather(
    *awaitables: Future[T] | Awaitable[T],
    return_exceptions: Literal[False] = False,
    cancel_others: bool = False,
) -> list[T]: ...
@overload
async def gather(
    *awaitables: Future[T] | Awaitable[T], return_exceptions: bool, cancel_others: bool = False
) -> list[T | Exception]: ...
async def gather(
    *awaitables: Future[Any] | Awaitable[Any],
    return_exceptions: bool = False,
    cancel_others: bool = False,
) -> list[Any]:
    """Wait for all of them, together.

    Args:
        *awaitables: A future yields its job's value, anything else what awaiting it gives.
        return_exceptions: Put errors in their places instead of raising the first one.
        cancel_others: After an error, cancel the jobs of the others, too, with all below them:
            those of futures, and those that a `wait` in an awaitable submitted.

    Returns:
        The values in the order of the arguments.

    Raises:
        Exception: the first error; waiting for the others is cancelled, their jobs are not,
            unless `cancel_others` says so.

    Cancelling cancels the waiting for all of them. To have jobs never outlive the code that
    submits them, use `upnext.group`.
    """
    values: list[Any] = [None] * len(awaitables)
    errors: list[Exception] = []
    jobs = _JobsOf(awaitables)

    async def wait_for(place: int) -> None:
        try:
            values[place] = await jobs.value(place)
        except Exception as error:  # whatever an awaitable raises: see return_exceptions
            if return_exceptions:
                values[place] = error
                return
            errors.append(error)
            group.cancel_scope.cancel("another one failed")

    async with anyio.create_task_group() as group:
        for place in range(len(awaitables)):
            group.start_soon(wait_for, place)
    if errors:
        if cancel_others:
            await jobs.cancel("another job that was waited for failed")
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
        try:
            for place, given in waiting:
                args, kwargs = _spread(given)
                values[place] = (await task.wait(*args, **kwargs)).value
        except Exception as error:  # raised as it is when the others have ended
            errors.append(error)
            group.cancel_scope.cancel("another one failed")

    async with anyio.create_task_group() as group:
        for _ in range(concurrency):
            group.start_soon(work)
    if errors:
        raise errors[0]
    return [values[place] for place in range(len(values))]


async def first_completed(
    *awaitables: Future[T] | Awaitable[T],
    timeout: float | None = None,
    cancel_others: bool = True,
) -> T:
    """Wait until one of them succeeds.

    Args:
        *awaitables: A future yields its job's value, anything else what awaiting it gives.
        timeout: Seconds to wait; None: until one succeeds or all have failed.
        cancel_others: Cancel the jobs of the others, too, with all below them: those of futures,
            and those that a `wait` in an awaitable submitted. Their end is not waited for.

    Returns:
        The first value. Waiting for the others is cancelled.

    Raises:
        TimeoutError: none of them succeeded in time; the jobs go on.
        Exception: the only one failed.
        ExceptionGroup: all of several failed.
        ValueError: there is nothing to wait for.
    """
    if not awaitables:
        raise ValueError("first_completed() needs at least one future or awaitable")
    values: list[T] = []
    errors: list[Exception] = []
    jobs = _JobsOf(awaitables)

    async def wait_for(place: int) -> None:
        try:
            values.append(await jobs.value(place))
        except Exception as error:  # it counts only if nobody succeeds
            errors.append(error)
        else:
            group.cancel_scope.cancel("another one was first")

    with anyio.move_on_after(timeout):
        async with anyio.create_task_group() as group:
            for place in range(len(awaitables)):
                group.start_soon(wait_for, place)
    if values:
        if cancel_others:
            await jobs.cancel("another job that was waited for was first")
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


class _JobsOf:
    """Some awaitables, and the jobs that they wait for."""

    def __init__(self, awaitables: Sequence[Future[Any] | Awaitable[Any]]) -> None:
        self._awaitables = awaitables
        self._noted: list[dict[str, Client]] = [{} for _ in awaitables]
        self._over: set[int] = set()

    async def value(self, place: int) -> Any:
        """What awaiting one of them gives. Call it in a task of its own."""
        awaitable = self._awaitables[place]
        waited_for.set(self._noted[place])
        try:
            value = await (awaitable.value() if isinstance(awaitable, Future) else awaitable)
        except Exception:
            self._over.add(place)
            raise
        self._over.add(place)
        return value

    async def cancel(self, reason: str) -> None:
        """Cancel the jobs of those that neither gave a value nor failed."""
        jobs: dict[Client, list[str]] = {}
        try:
            for place, awaitable in enumerate(self._awaitables):
                if place in self._over:
                    continue
                if isinstance(awaitable, Future):
                    jobs.setdefault(await connect(awaitable.url), []).append(awaitable.job_id)
                for job_id, client in self._noted[place].items():
                    jobs.setdefault(client, []).append(job_id)
            for client, ids in jobs.items():
                await client.store.cancel_trees(ids, reason)
        except RedisError as error:  # not worth the value that is there, or the error
            logger.warning("cannot cancel jobs that nobody waits for any more: %s", error)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseException", error.exceptions[0])
    return error
