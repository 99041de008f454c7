"""Virtual time on both backends: when nothing can run, the clock jumps to the next timer.

On Trio it is Trio's own `MockClock`; on asyncio a loop whose clock passes by what it would have
waited. Threads that work for the event loop are waited for; sockets are not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import RunVar, current_token

from upnext.testing.outside import Outside

if TYPE_CHECKING:
    from upnext.testing.trio_watch import Watch

__all__ = ["has_virtual_time", "outside_of_loop", "real_time", "run", "virtual_backend"]

T = TypeVar("T")


def virtual_backend(
    name: Literal["asyncio", "trio"] | str = "asyncio",  # noqa: PYI051 - what people may pass
) -> tuple[str, dict[str, Any]]:
    """A backend in virtual time, in the form that AnyIO's `anyio_backend` fixture returns.

    Args:
        name: The event loop.

    Returns:
        The name, and options with a clock of its own: ask anew for every test.

    Raises:
        ValueError: there is no such backend.
    """
    if name == "trio":
        from trio.testing import MockClock

        from upnext.testing.trio_watch import Watch

        clock = MockClock(autojump_threshold=0)
        _watches[clock] = watch = Watch(clock)
        return name, {"clock": clock, "instruments": [watch]}
    if name == "asyncio":
        from upnext.testing.virtual_loop import VirtualLoop

        return name, {"loop_factory": VirtualLoop}
    raise ValueError(f"backend must be 'asyncio' or 'trio', not {name!r}")


def run(
    function: Callable[..., Coroutine[Any, Any, T]],
    *args: Any,
    backend: Literal["asyncio", "trio"] = "asyncio",
) -> T:
    """`anyio.run` in virtual time: for scripts, and for tests without an async plugin.

    Args:
        function: An async function.
        *args: Its arguments.
        backend: The event loop.
    """
    name, options = virtual_backend(backend)
    return anyio.run(function, *args, backend=name, backend_options=options)


def has_virtual_time() -> bool:
    """Whether the event loop that runs here jumps over idle time."""
    return _found() is not None


@contextmanager
def real_time() -> Generator[None]:
    """Let time pass as it really does inside the block, for what waits for a socket or a process.

    Virtual time jumps whenever nothing can run in this process, and would not wait for an answer
    from outside. Without virtual time the block does nothing.
    """
    outside = outside_of_loop()
    outside.held += 1
    try:
        yield
    finally:
        outside.held -= 1


def outside_of_loop() -> Outside:
    """What goes on outside the event loop that runs here."""
    return _found() or Outside()


def _found() -> Outside | None:
    loop: Any = current_token().native_token
    asyncio_loop = sys.modules.get("upnext.testing.virtual_loop")
    if asyncio_loop is not None and isinstance(loop, asyncio_loop.VirtualLoop):
        return loop.outside
    if "trio.testing" not in sys.modules or type(loop).__module__.partition(".")[0] != "trio":
        return None
    import trio
    from trio.testing import MockClock

    from upnext.testing.trio_watch import Watch

    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock):
        return None
    watch = _watches.get(clock) or _added.get(None)
    if watch is None and clock.autojump_threshold < inf:  # the user's own clock
        watch = Watch(clock)
        _added.set(watch)
        trio.lowlevel.add_instrument(watch)
    return None if watch is None else watch.outside


_watches: WeakKeyDictionary[Any, Watch] = WeakKeyDictionary()
"""By the clocks that were made here."""
_added: RunVar[Watch] = RunVar("upnext.testing.watch")
