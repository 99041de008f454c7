"""The client for code that does not await: any thread, any number of times, loop or no loop.

Its calls go over redis-py's blocking client and run the same scripts. Two exceptions, both in
threads that AnyIO started for an event loop (sync jobs are run in such threads): a call that waits
for a job is awaited by that loop, so that the waiting job lends its slot and can be cancelled; and
inside a `bind` block every call is, because the bound store may belong to that loop.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio.from_thread
from anyio import NoEventLoopError

from upnext.client.connect import is_bound, locate
from upnext.client.ended import Ended
from upnext.client.patience import first_look, next_look
from upnext.errors import JobNotFoundError, JobRefusedError
from upnext.model.identity import new_worker_id
from upnext.model.job import Enqueued, NewJob
from upnext.settings import PREFIX
from upnext.store.blocking import BlockingStore, Listener

V = TypeVar("V")

QUIET = 15.0
"""Seconds without a push after which a waiting caller looks for himself: a subscription whose
other end is gone says nothing for ever."""


def may_await() -> bool:
    """Whether this is a thread that AnyIO started for an event loop.

    Raises:
        BaseException: what the thread runs for was cancelled.
    """
    try:
        anyio.from_thread.check_cancelled()
    except NoEventLoopError:
        return False
    return True


def must_await() -> bool:
    """Whether calls from this thread belong to a store bound on its event loop."""
    return is_bound() and may_await()


def through_loop(function: Callable[..., Coroutine[Any, Any, V]], *args: Any) -> V:
    """Have the event loop that started this thread await something."""
    return anyio.from_thread.run(function, *args)


class BlockingClient:
    """Submits jobs and waits for their end, blocking the thread. Threads may share one."""

    def __init__(self, store: BlockingStore) -> None:
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
        listener: Listener,
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


def blocking_client(url: str | None = None) -> BlockingClient:
    """This process's client of a queue, found as `connect` finds it.

    Args:
        url: The server; None: UPNEXT_REDIS_URL, else the embedded server.
    """
    key = (url, os.getpid(), *(os.environ.get(PREFIX + name) for name in _TELLING))
    with _guard:
        client = _known.get(key)
        if client is None:
            client = _known[key] = BlockingClient(locate(url).blocking_store())
        return client


_TELLING = ("REDIS_URL", "WORKSPACE_ID", "EMBEDDED_DIR")
_guard = threading.Lock()
_known: dict[tuple[str | int | None, ...], BlockingClient] = {}
