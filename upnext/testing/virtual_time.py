"""Virtual time on both backends: when nothing can run, the clock jumps to the next timer.

On Trio it is Trio's own `MockClock`; on asyncio a loop whose clock passes by what it would have
waited. Threads that work for the event loop are waited for; sockets are not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from math import inf
from typing import Any, Literal, TypeVar

import anyio
from anyio.lowlevel import RunVar, current_token

from upnext.testing.outside import Outside

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

        return name, {"clock": MockClock(autojump_threshold=0)}
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
    watched = _watched.get(None)
    if watched is None:
        watched = _watch()
        if watched is not None:
            _watched.set(watched)
    return watched


def _watch() -> Outside | None:
    import trio
    from trio.testing import MockClock

    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock) or clock.autojump_threshold == inf:
        return None

    class Watch(trio.abc.Instrument):
        """Holds the clock after each step that left something under way outside."""

        def __init__(self) -> None:
            self.jump, self.rate, self.held = clock.autojump_threshold, clock.rate, False

        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            if outside.works() is not self.held:
                self.held = not self.held
                clock.autojump_threshold = inf if self.held else self.jump
                clock.rate = 1.0 if self.held else self.rate

    outside = Outside()
    outside.works()  # looks up the default limiter, here where a task runs
    trio.lowlevel.add_instrument(Watch())
    return outside


_watched: RunVar[Outside] = RunVar("upnext.testing.outside")
