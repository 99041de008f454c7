"""What belongs to an event loop, found from inside it at little cost."""

from __future__ import annotations

import sys
from asyncio import get_running_loop
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar
from weakref import ref

import anyio
from anyio.lowlevel import RunVar
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
        loop, last = _running_loop(), self._last
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

    async def wait(self) -> None:
        """Wait for that."""
        ...


class _AsyncioBell:
    """A future: an `anyio.Event` does with ten calls what it does with three."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future = get_running_loop().create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        await self._future


def bell_class() -> Callable[[], Bell]:
    """What makes bells on this event loop."""
    return _AsyncioBell if sniffed.name != "trio" else type(anyio.Event())


def _running_loop() -> Any:
    """What identifies the event loop that this code runs on; None: AnyIO has to find it.

    Where Trio is a guest of another loop both run in one thread, so it is asked for first; it
    says that it is Trio's turn where sniffio looks, too.
    """
    if sniffed.name == "trio":
        return sys.modules["trio"].lowlevel.current_trio_token()
    try:
        return get_running_loop()
    except RuntimeError:
        return None
