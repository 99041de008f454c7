"""The client for code that does not await: any thread, any number of times, loop or no loop.

Its calls go over redis-py's blocking client and run the same scripts. Two exceptions, both in
threads that AnyIO started for an event loop (sync jobs are run in such threads): a call that waits
for a job is awaited by that loop, so that the waiting job lends its slot and can be cancelled; and
inside a `bind` block every call is, because the bound store may belong to that loop. What a test
puts in the queue's place answers in other threads, too.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import anyio
import anyio.from_thread
from anyio import NoEventLoopError
from anyio.lowlevel import current_token

from upnext.client.connect import bound_blocking, bound_loop, is_of_everybody, locate
from upnext.client.ended import Ended
from upnext.client.patience import first_look, next_look
from upnext.client.ports import BlockingQueue, Hearing, Origin
from upnext.errors import JobNotFoundError, JobRefusedError
from upnext.model.identity import new_worker_id
from upnext.model.job import Enqueued, NewJob
from upnext.settings import PREFIX
from upnext.tasks.context import current_context

V = TypeVar("V")

QUIET = 15.0
"""Seconds without a push after which a waiting caller looks for himself: a subscription whose
other end is gone says nothing for ever."""


def may_await() -> bool:
    """Whether there is an event loop to await something for this thread.

    There is one for a thread that AnyIO started, and, inside a test's block that counts
    everywhere, for any thread that runs no event loop itself.

    Raises:
        BaseException: what the thread runs for was cancelled.
    """
    return _is_anyio_thread() or (bound_loop() is not None and is_of_everybody() and not _loops())


def must_await() -> bool:
    """Whether calls from this thread belong to a store bound on an event loop."""
    return bound_loop() is not None and may_await()


def _is_anyio_thread() -> bool:
    if threading.get_ident() == _survivor:
        return False
    try:
        anyio.from_thread.check_cancelled()
    except NoEventLoopError:
        return False
    return True


def _loops() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        current_token()
    except NoEventLoopError:
        return False
    return True


def through_loop(function: Callable[..., Coroutine[Any, Any, V]], *args: Any) -> V:
    """Have the event loop await something that `may_await` found.

    In a job it is cancelled with the job, which may leave this thread behind.

    Raises:
        BaseException: what it raises, or the cancellation of what the thread runs for.
    """
    if not _is_anyio_thread():
        return anyio.from_thread.run(function, *args, token=bound_loop())
    context = current_context.get(None)
    if context is None or not isinstance(context.lender, Attendant):
        return anyio.from_thread.run(function, *args)
    value, cut_off = anyio.from_thread.run(_attended, context.lender, function, args)
    if cut_off:
        anyio.from_thread.check_cancelled()
        raise RuntimeError("the job is over: nothing is awaited for it any more")
    return cast("V", value)


@runtime_checkable
class Attendant(Protocol):
    """Knows when the job of a thread is over."""

    def attend(self) -> AbstractContextManager[anyio.CancelScope]:
        """A scope that is cancelled when the job is over."""
        ...


async def _attended(
    attendant: Attendant, function: Callable[..., Coroutine[Any, Any, V]], args: tuple[Any, ...]
) -> tuple[V | None, bool]:
    value = None
    with attendant.attend() as scope:
        value = await function(*args)
    return value, scope.cancelled_caught


class BlockingClient:
    """Submits jobs and waits for their end, blocking the thread. Threads may share one."""

    def __init__(self, store: BlockingQueue) -> None:
        self.store = store
        self._thread = threading.local()

    def submit(self, job: NewJob) -> Enqueued:
        """Submit one job; raises as `Client.submit`."""
        (answer,) = self.store.enqueue((job,))
        if isinstance(answer, JobRefusedError):
            raise answer
        return answer

    def run(self, make: Callable[[str], NewJob], timeout: float | None = None) -> Ended:
        """Submit one job and wait until it ends.

        Args:
            make: Makes the job, given the channel on which its end is to be told.
            timeout: Seconds to wait, once it is submitted; None: until it ends.

        Raises:
            TimeoutError: it did not end in time; it goes on.
            JobRefusedError: the queue did not accept it.
            redis.exceptions.RedisError: the queue cannot be reached, or refused the command.
        """
        channel = self._channel()
        job = make(channel)
        with self.store.listen(channel) as listener:
            answer = self.submit(job)
            known = job if answer.id == job.id else None
            return self._wait(listener, channel, answer.id, timeout, known)

    def end_of(self, job_id: str, timeout: float | None = None) -> Ended:
        """Wait until a job ends that was submitted before; raises as `Client.end_of`."""
        channel = self._channel()
        with self.store.listen(channel) as listener:
            return self._wait(listener, channel, job_id, timeout, None)

    def _channel(self) -> str:
        """This thread's channel: one for ever, for a job remembers every channel that waited."""
        channel: str | None = getattr(self._thread, "channel", None)
        if channel is None:
            channel = self.store.keys.waiter_channel(new_worker_id("sync"))
            self._thread.channel = channel
        return channel

    def _wait(
        self,
        listener: Hearing,
        channel: str,
        job_id: str,
        timeout: float | None,
        known: NewJob | None,
    ) -> Ended:
        """Hear of the end; `known` is the job where the queue need not be asked what it is."""
        began, job = time.monotonic(), known
        look_in = None if known is None else first_look(known)
        while True:
            if job is None:
                job = self.store.watch(job_id, channel)
                if job is None:
                    raise JobNotFoundError(job_id)
                if job.status.is_terminal():
                    return Ended.of_record(job)
                look_in = next_look(job)
            left = QUIET if timeout is None else began + timeout - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"job {job_id} did not end within {timeout:g} s; it goes on")
            payload = listener.hear(min(left, QUIET, QUIET if look_in is None else look_in))
            if payload is None:
                job = None
            elif (ended := Ended.of_notice(payload)).id == job_id:
                return ended.of_job(job)


def blocking_client(url: str | None = None, origin: Origin | None = None) -> BlockingClient:
    """This process's client of a queue, found as `connect` finds it.

    Args:
        url: The server; None: UPNEXT_REDIS_URL, else the embedded server.
        origin: Who declared the task that is about to be submitted, for a test's stand-in.
    """
    if (queue := bound_blocking(origin)) is not None:
        return BlockingClient(queue)
    key = (url, os.getpid(), *(os.environ.get(PREFIX + name) for name in _TELLING))
    with _guard:
        client = _known.get(key)
        if client is None:
            client = _known[key] = BlockingClient(locate(url).blocking_store())
        return client


_survivor: int | None = None
"""The thread that a fork left in this process. AnyIO may have started it, for an event loop that
does not run here."""


def _start_over() -> None:
    """In a forked child, where whoever held the guard may be gone."""
    global _guard, _survivor
    _guard, _survivor = threading.Lock(), threading.get_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)

_TELLING = ("REDIS_URL", "WORKSPACE_ID", "EMBEDDED_DIR")
_guard = threading.Lock()
_known: dict[tuple[str | int | None, ...], BlockingClient] = {}
