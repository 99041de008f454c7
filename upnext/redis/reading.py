"""Wait for what a server says: one caller at a time, until a moment that others may move."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, TimerHandle, get_running_loop
from collections.abc import Callable
from contextvars import Context
from math import inf
from typing import Protocol

import anyio
from anyio.abc import ByteStream
from sniffio import current_async_library_cvar
from sniffio import thread_local as sniffed

from upnext.redis.direct import CHUNK, DirectStream
from upnext.redis.loops import primitives


class Reading(Protocol):
    """How the one who reads waits."""

    deadline: float
    """When the present wait ends, or the last one was to end, on the event loop's clock."""

    @property
    def waiting(self) -> bool:
        """Whether somebody waits."""
        ...

    async def hear(self, deadline: float, take: Callable[[bytes], None]) -> None:
        """Have what comes taken, until somebody says `look_up` or it is later than the deadline.

        Args:
            deadline: When to give up, on the event loop's clock.
            take: Given the bytes, as often as some come; on some event loops between two tasks.

        Raises:
            What `take` raises; OSError and what AnyIO's streams raise: the connection is lost.

        Cancelling this loses nothing.
        """
        ...

    def set_deadline(self, deadline: float) -> None:
        """Let the present wait end at another time."""
        ...

    def look_up(self) -> None:
        """End the present wait, if there is one."""
        ...

    def close(self) -> None:
        """The stream is about to be closed."""
        ...


def reading(stream: ByteStream) -> Reading:
    """What fits a stream and this event loop."""
    if isinstance(stream, DirectStream) and sniffed.name != "trio":
        loop = get_running_loop()
        try:
            loop.remove_reader(stream)
        except NotImplementedError:  # a loop that cannot watch sockets, as on Windows
            return _ScopedReading(stream)
        return _WatchedReading(stream, loop)
    return _ScopedReading(stream)


class _ScopedReading:
    """By a cancel scope: for any stream."""

    def __init__(self, stream: ByteStream) -> None:
        self.deadline = inf
        self._stream = stream
        self._direct = stream if isinstance(stream, DirectStream) else None
        self._loop = primitives()
        self._scope: anyio.CancelScope | None = None
        self._ends = inf
        """When that scope ends: it is asked for often, and on Trio a scope takes its time to tell.
        """
        self._up = False
        """Somebody said so during the present wait."""
        self._taking = False
        """Whoever waits is awake, and looks up by itself."""

    @property
    def waiting(self) -> bool:
        return self._scope is not None

    async def hear(self, deadline: float, take: Callable[[bytes], None]) -> None:
        self.deadline, self._up = deadline, False
        try:
            while not self._up:
                self._ends = self.deadline
                with self._loop.scope(deadline=self._ends) as self._scope:
                    while not self._up:
                        if (data := await self._receive()) is not None:
                            self._taking = True
                            take(data)
                            self._taking = False
                if self._loop.time() >= self.deadline:
                    return
        finally:
            self._scope, self._taking = None, False

    async def _receive(self) -> bytes | None:
        if self._direct is None:
            return await self._stream.receive(CHUNK)
        await self._direct.readable()
        return self._direct.receive_now()

    def set_deadline(self, deadline: float) -> None:
        self.deadline = deadline
        # To put off a scope's end is dear on Trio. It ends as it would have, and another begins.
        if self._scope is not None and deadline < self._ends:
            self._scope.deadline = self._ends = deadline

    def look_up(self) -> None:
        self._up = True
        if self._scope is not None and not self._taking:
            self._scope.cancel()

    def close(self) -> None:
        pass  # closing the stream ends the wait


class _WatchedReading:
    """By the event loop's watch on the socket, which stays from one wait to the next.

    `anyio.wait_readable` on asyncio begins and ends it for each wait, and the cancel scope around
    it takes part in the bookkeeping of all others: together dearer than all else that a command
    costs here. What comes is taken as soon as the loop sees it, which spares those whom it is for
    a turn, and whoever waits for something else their waking up.
    """

    def __init__(self, stream: DirectStream, loop: AbstractEventLoop) -> None:
        self.deadline = inf
        self._stream = stream
        self._loop = loop
        self._context = Context()
        """Of those who take what comes. That of the task which happens to wait is its own; and
        between two tasks AnyIO knows the loop by this alone."""
        self._context.run(current_async_library_cvar.set, "asyncio")
        self._future: Future[None] | None = None
        self._take: Callable[[bytes], None] = _nobody
        self._failure: Exception | None = None
        """What whoever waits next has to hear."""
        self._watching = False
        self._stale = False
        """Nobody waited the last time that there was something to read."""
        self._alarm: TimerHandle | None = None
        """Rings at the deadline, or before it and then sets another one."""

    @property
    def waiting(self) -> bool:
        return self._future is not None

    async def hear(self, deadline: float, take: Callable[[bytes], None]) -> None:
        self._take, self._stale = take, False
        self._future = Future()
        try:
            if self._failure is None:
                self._watch()
                self.set_deadline(deadline)
                await self._future
        finally:
            self._future, self._take = None, _nobody
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def set_deadline(self, deadline: float) -> None:
        self.deadline = deadline
        if self._future is not None and (self._alarm is None or self._alarm.when() > deadline):
            self._set_alarm()

    def look_up(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def close(self) -> None:
        self._failure = anyio.ClosedResourceError()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._unwatch()
        self.look_up()

    def _on_readable(self) -> None:
        if self._future is not None:
            try:
                if (data := self._stream.receive_now()) is not None:
                    self._take(data)
            except Exception as error:  # whatever it is, whoever waits raises it
                self._failure = error
                self._unwatch()
                self.look_up()
        elif self._stale:  # whoever reads next looks first, and then asks again
            self._unwatch()
        else:  # most likely somebody was woken and is about to read it
            self._stale = True

    def _watch(self) -> None:
        if not self._watching:
            self._context.run(self._loop.add_reader, self._stream, self._on_readable)
            self._watching = True

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._stream)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self.deadline, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        if self._future is None:
            return
        if self.deadline > self._loop.time():
            self._set_alarm()
        else:
            self.look_up()


def _nobody(data: bytes) -> None:
    raise AssertionError("nobody takes what was read")
