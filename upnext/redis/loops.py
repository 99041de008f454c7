"""What belongs to an event loop, found from inside it at little cost."""

from __future__ import annotations

import sys
from asyncio import CancelledError, Future, current_task, get_running_loop
from collections.abc import Awaitable, Callable, Generator
from functools import cache
from socket import socket
from types import coroutine
from typing import Any, Generic, Protocol, TypeVar
from weakref import ref

import anyio
from anyio.lowlevel import RunVar
from attrs import frozen
from sniffio import thread_local as sniffed

T = TypeVar("T")


class LoopVar(Generic[T]):
    """One value for each event loop, as AnyIO's `RunVar` has it.

    A `RunVar` takes a dozen calls to find the loop and then its value, which every submit would
    pay for. Programs have one loop nearly always, so the last answer is the right one again once
    the same loop asks.

    Args:
        name: For people who look into it.
    """

    def __init__(self, name: str) -> None:
        self._values: RunVar[T] = RunVar(name)
        self._last: tuple[ref[Any], T] | None = None
        """The loop that was answered last, and its value. Any thread replaces it as a whole."""

    def get(self) -> T | None:
        """This event loop's value; None when none is set.

        Raises:
            anyio.NoEventLoopError: there is no running event loop.
        """
        # Where Trio is a guest of another loop both run in one thread, so it is asked for first; it
        # says that it is Trio's turn where sniffio looks, too.
        loop: Any
        if sniffed.name == "trio":
            loop = sys.modules["trio"].lowlevel.current_trio_token()
        else:
            try:
                loop = get_running_loop()
            except RuntimeError:
                loop = None  # AnyIO has to find it, or say that there is none
        last = self._last
        if last is not None and loop is not None and last[0]() is loop:
            return last[1]
        value = self._values.get(None)
        if value is not None and loop is not None:
            self._last = ref(loop), value
        return value

    def set(self, value: T) -> None:
        """Set this event loop's value."""
        self._values.set(value)
        self._last = None


class Bell(Protocol):
    """What one task waits for."""

    def set(self) -> None:
        """Let it go on. Never blocks; doing it twice is allowed."""
        ...

    def wait(self) -> Awaitable[None]:
        """Wait for that."""
        ...


@frozen
class Primitives:
    """What AnyIO has for every event loop, as one event loop has it.

    AnyIO asks at each call which loop it runs on: ten calls for one that does the work. These are
    for what every command, and so every job, goes through.
    """

    bell: Callable[[], Bell]
    """Makes a bell, as `anyio.Event` does."""
    turn: Callable[[], Awaitable[None]]
    """Lets everybody else run who can, as `anyio.lowlevel.checkpoint` does."""
    time: Callable[[], float]
    """The loop's clock, as `anyio.current_time` reads it."""
    scope: Callable[..., anyio.CancelScope]
    """Makes a cancel scope, with a `deadline` on that clock, as `anyio.CancelScope` does."""
    readable: Callable[[socket], Awaitable[None]]
    """Waits for a socket, as `anyio.wait_readable` does; once that is closed it may raise anything.
    """
    cancels: Callable[[], int]
    """How often this very task was asked to end, less what was taken back: asyncio counts that,
    and a scope takes back what it asked for. Trio knows nothing but scopes: 0."""
    persist: Callable[[int], Awaitable[bool]]
    """Has this task go on: takes back what it was asked beyond a count, and lets what is still on
    its way arrive. Says whether there was such a thing. Not for a task that a scope cancels."""


def primitives() -> Primitives:
    """Those of this event loop.

    Raises:
        RuntimeError: there is no running event loop.
    """
    if sniffed.name == "trio":
        return _of_trio()
    return Primitives(
        _AsyncioBell,
        _asyncio_turn,
        get_running_loop().time,
        _asyncio_scope(),
        anyio.wait_readable,
        _asyncio_cancels,
        _asyncio_persist,
    )


@cache
def _of_trio() -> Primitives:
    trio = sys.modules["trio"]
    return Primitives(
        trio.Event,
        trio.lowlevel.checkpoint,
        trio.current_time,
        type(anyio.CancelScope()),
        trio.lowlevel.wait_readable,
        lambda: 0,
        _trio_persist,
    )


@cache
def _asyncio_scope() -> type[anyio.CancelScope]:
    return type(anyio.CancelScope())


class _AsyncioBell:
    """A future: an event does with ten calls what it does with three."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: Future[None] = Future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> Awaitable[None]:
        return self._future


@coroutine
def _asyncio_turn() -> Generator[None]:
    yield


def _asyncio_cancels() -> int:
    task = current_task()
    return 0 if task is None else task.cancelling()


async def _asyncio_persist(before: int) -> bool:
    arrived = False
    try:
        # A task that cancels itself hears of it at its next step, and up to Python 3.12 also if
        # the request was taken back meanwhile.
        await _asyncio_turn()
    except CancelledError:
        arrived = True
    task = current_task()
    while task is not None and task.cancelling() > before:
        task.uncancel()
    return arrived


async def _trio_persist(before: int) -> bool:
    return False
