"""A task as its callers see it: submit it, wait for it, call it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

import anyio
from anyio import NoEventLoopError
from anyio.lowlevel import current_token
from attrs import evolve

from upnext.client import sync
from upnext.client.connect import client_here, connect
from upnext.client.dedupe import caching_of
from upnext.client.future import Future
from upnext.client.options import SubmitOptions, checked_key
from upnext.client.ports import Origin
from upnext.client.result import TaskResult, result_of
from upnext.client.submission import new_job, time_left
from upnext.model.identity import new_job_id
from upnext.model.job import NewJob
from upnext.tasks.context import Context, current_context
from upnext.tasks.definition import TaskDefinition

P = ParamSpec("P")
T = TypeVar("T")

PLAIN = SubmitOptions()
_WAIT_TIMEOUT = "wait_timeout"


class TaskHandle(Generic[P, T]):
    """A declared task. `@worker.task` makes one of a function.

    Importing it and awaiting `submit` is all that a producer does: the queue is the one of the
    worker that declares the task, or what UPNEXT_REDIS_URL says, or the embedded server.

    Attributes:
        definition: The task.
    """

    __name__: str
    __qualname__: str

    def __init__(
        self,
        definition: TaskDefinition,
        origin: Origin | None = None,
        options: SubmitOptions = PLAIN,
    ) -> None:
        functools.update_wrapper(self, definition.function)
        self.__name__ = definition.name
        self.definition = definition
        self._origin = origin
        self._options = options

    @property
    def name(self) -> str:
        """What users call the task."""
        return self.definition.name

    @property
    def function_key(self) -> str:
        """What the queue calls the task."""
        return self.definition.name

    @property
    def func(self) -> Callable[P, Any]:
        """The function itself."""
        return self.definition.function

    def options(
        self,
        *,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        deadline: float | timedelta | datetime | None = None,
        key: str | None = None,
        wait_timeout: float | timedelta | None = None,
        unique_for: float | timedelta | None = None,
        unique_key: str | None = None,
        debounce: float | timedelta | None = None,
        debounce_key: str | None = None,
        debounce_max: float | timedelta | None = None,
        rerun_key: str | None = None,
        fresh: bool | None = None,
    ) -> TaskHandle[P, T]:
        """A copy of this handle that submits with other options: `task.options(delay=30)`.

        Args:
            delay: Run this long after the submit; seconds or a `timedelta`.
            at: Run at this moment, with a time zone.
            priority: From -9 to 9; higher is first; 0 is usual.
            deadline: Do not start or go on after this: seconds or a `timedelta` from the submit,
                or a moment with a time zone. Waiting and retrying count.
            key: Idempotency key: while a job with this key is not over, no second one is made.
            wait_timeout: How long `wait` waits; seconds or a `timedelta`.
            unique_for: For so long after a job was accepted, seconds or a `timedelta`, an equal
                submit gets the future of that job, over or not; unless it did not complete.
            unique_key: What makes submits equal: a text with arguments in braces, such as
                "{user_id}" or "{order.id}"; None: equal arguments.
            debounce: Run when there was no other submit for so long, seconds or a `timedelta`,
                with the arguments of the last one; all of them get the future of the one job.
            debounce_key: Which submits count together, such as "{user_id}"; None: all of the task.
            debounce_max: Run so long after the first submit at the latest.
            rerun_key: Of the submits with this key, such as "{index}", one runs and one waits: a
                submit while one waits replaces its arguments, one while one runs has it run once
                more afterwards.
            fresh: Run even if the task's result is cached, and cache the new one.

        `key`, `unique_for`, `debounce` and `rerun_key` exclude each other.

        Raises:
            ValueError: an option cannot be used.
        """
        changed = copy.copy(self)
        changed._options = self._options.changed(
            delay=delay,
            at=at,
            priority=priority,
            deadline=deadline,
            key=key,
            wait_timeout=wait_timeout,
            unique_for=unique_for,
            unique_key=unique_key,
            debounce=debounce,
            debounce_key=debounce_key,
            debounce_max=debounce_max,
            rerun_key=rerun_key,
            fresh=fresh,
        )
        if (dedupes := changed._options.dedupes) is not None:
            dedupes.check(self.definition.arguments.parameters, self.name)
        return changed

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a job that calls the function with these arguments.

        Returns:
            The job, once the queue has it.

        Raises:
            TypeError: the function cannot be called like this.
            CodecError: an argument cannot be written as JSON.
            JobRefusedError: the queue did not accept it; QueueFullError when it is full.
            redis.exceptions.RedisError: the queue cannot be reached, or refused the command.

        Cancelled, it may or may not have been submitted.
        """
        definition, options, origin = self.definition, self._options, self._origin
        job = new_job(definition, options, definition.arguments.encode(args, kwargs))
        if definition.has_keys or options.dedupes is not None:
            job = self._special(job, args, kwargs)
        url = None if origin is None else origin.redis_url
        client = client_here(url, origin) or await connect(url, origin)
        answer = await client.submit(job)
        return Future(answer.id, definition, origin)

    async def submit_idempotent(self, key: str, /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """`submit`, unless a job with this key is not over yet: then the future of that one.

        Args:
            key: 1 to 256 characters.
            *args: For the function.
            **kwargs: For the function.
        """
        return await self._keyed(key).submit(*args, **kwargs)

    @overload
    async def wait(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[T]: ...
    @overload
    async def wait(
        self, *args: Any, wait_timeout: float | None, **kwargs: Any
    ) -> TaskResult[T]: ...
    async def wait(self, *args: Any, **kwargs: Any) -> TaskResult[T]:
        """Submit a job and wait until it ends: one round trip and one push.

        It may not live longer than the caller's own deadline (`anyio.fail_after`, or that of the
        job it is called in). Inside a job, its slot is lent meanwhile.

        Args:
            *args: For the function.
            wait_timeout: Seconds to wait once it is submitted; None: until it ends. A function
                with a parameter of this name gets it; say `options(wait_timeout=…)` then.
            **kwargs: For the function.

        Raises:
            TimeoutError: `wait_timeout` is over; the job goes on.
            TaskTimeoutError: it failed by its own timeout.
            TaskExecutionError: it failed, was cancelled, or its deadline passed.

        Otherwise as `submit`. Cancelling stops the waiting, not the job.
        """
        definition, timeout = self.definition, self._timeout(kwargs)
        arguments = definition.arguments.encode(args, kwargs)
        budget = time_left()
        client = await connect(self.url, self._origin)
        job = new_job(definition, self._options, arguments, waiter=client.channel, budget=budget)
        ended = await client.run(self._special(job, args, kwargs), timeout)
        return result_of(ended, definition.result)

    @overload
    async def wait_idempotent(
        self, key: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskResult[T]: ...
    @overload
    async def wait_idempotent(
        self, key: str, /, *args: Any, wait_timeout: float | None, **kwargs: Any
    ) -> TaskResult[T]: ...
    async def wait_idempotent(self, key: str, /, *args: Any, **kwargs: Any) -> TaskResult[T]:
        """`wait`, for the job that has this key, if there is one that is not over yet."""
        return await self._keyed(key).wait(*args, **kwargs)

    def submit_sync(self, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """`submit` for code that does not await, in any thread. Blocks the thread."""
        if sync.must_await():
            return sync.through_loop(functools.partial(self.submit, *args, **kwargs))
        definition = self.definition
        job = new_job(definition, self._options, definition.arguments.encode(args, kwargs))
        job = self._special(job, args, kwargs)
        answer = sync.blocking_client(self.url, self._origin).submit(job)
        return Future(answer.id, definition, self._origin)

    def submit_idempotent_sync(self, key: str, /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """`submit_idempotent` for code that does not await, in any thread. Blocks the thread."""
        return self._keyed(key).submit_sync(*args, **kwargs)

    @overload
    def wait_sync(self, *args: P.args, **kwargs: P.kwargs) -> TaskResult[T]: ...
    @overload
    def wait_sync(self, *args: Any, wait_timeout: float | None, **kwargs: Any) -> TaskResult[T]: ...
    def wait_sync(self, *args: Any, **kwargs: Any) -> TaskResult[T]:
        """`wait` for code that does not await. Blocks the thread.

        Do not call it on the event loop of the worker that is to run the job.
        """
        if sync.may_await():
            return sync.through_loop(functools.partial(self.wait, *args, **kwargs))
        definition, timeout = self.definition, self._timeout(kwargs)
        arguments = definition.arguments.encode(args, kwargs)

        def make(channel: str) -> NewJob:
            job = new_job(definition, self._options, arguments, waiter=channel)
            return self._special(job, args, kwargs)

        ended = sync.blocking_client(self.url, self._origin).run(make, timeout)
        return result_of(ended, definition.result)

    @overload
    def wait_idempotent_sync(
        self, key: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskResult[T]: ...
    @overload
    def wait_idempotent_sync(
        self, key: str, /, *args: Any, wait_timeout: float | None, **kwargs: Any
    ) -> TaskResult[T]: ...
    def wait_idempotent_sync(self, key: str, /, *args: Any, **kwargs: Any) -> TaskResult[T]:
        """`wait_idempotent` for code that does not await. Blocks the thread."""
        return self._keyed(key).wait_sync(*args, **kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function here and now, without the queue, retries, or timeout.

        Inside a job it sees that job's context; elsewhere a context of no job. An async function
        is run to its end in an event loop of its own.

        Raises:
            RuntimeError: an async function is called inside an event loop.
        """
        definition = self.definition
        if definition.is_async and _in_event_loop():
            raise RuntimeError(
                f"{definition.name} is async and this is an event loop: await {definition.name}"
                f".wait(…), {definition.name}.submit(…), or the function itself,"
                f" {definition.name}.func(…)"
            )
        token = current_context.set(self.direct_context())
        try:
            if definition.is_async:
                return anyio.run(functools.partial(definition.function, *args, **kwargs))
            return definition.function(*args, **kwargs)
        finally:
            current_context.reset(token)

    @property
    def key(self) -> str:
        """The idempotency key that `options` set, or ''."""
        return self._options.key

    def job(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        waiter: str = "",
        budget: int | None = None,
    ) -> NewJob:
        """The job that a submit with these arguments would make; nothing is sent.

        `waiter` and `budget` as in `upnext.client.submission.new_job`.
        """
        arguments = self.definition.arguments.encode(args, kwargs)
        job = new_job(self.definition, self._options, arguments, waiter=waiter, budget=budget)
        return self._special(job, args, kwargs)

    def future(self, job_id: str) -> Future[T]:
        """The future of a job of this task whose id was kept."""
        return Future(job_id, self.definition, self._origin)

    @property
    def origin(self) -> Origin | None:
        """Who declared the task."""
        return self._origin

    @property
    def url(self) -> str | None:
        """The queue's server; None: what the settings say."""
        return None if self._origin is None else self._origin.redis_url

    def _keyed(self, key: str) -> TaskHandle[P, T]:
        changed = copy.copy(self)
        changed._options = evolve(self._options, key=checked_key(key), dedupes=None)
        return changed

    def _special(self, job: NewJob, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        """The same job, with the keys that its arguments make, if it has any."""
        definition, options = self.definition, self._options
        if options.dedupes is not None:
            job.dedupe = options.dedupes.of_call(definition.arguments, args, kwargs)
        job.limit_keys = definition.limit_keys(args, kwargs)
        if definition.cache_ttl is not None:
            job.caching = caching_of(definition, args, kwargs, fresh=options.fresh)
        return job

    def _timeout(self, kwargs: dict[str, Any]) -> float | None:
        if _WAIT_TIMEOUT in kwargs and not self.definition.arguments.takes(_WAIT_TIMEOUT):
            return kwargs.pop(_WAIT_TIMEOUT)
        return self._options.wait_timeout

    def direct_context(self) -> Context:
        """What the function sees where it is called without the queue."""
        definition, around = self.definition, current_context.get(None)
        if around is None:
            return Context(
                job_id=new_job_id(definition.tag),
                function=definition.name,
                function_name=definition.name,
            )
        return around.named(definition.name)

    def __repr__(self) -> str:
        return f"<task {self.name} at {self.definition.place}>"


def _in_event_loop() -> bool:
    try:
        current_token()
    except NoEventLoopError:
        return False
    return True
