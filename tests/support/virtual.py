"""Virtual time on both backends: when nothing can run, the clock jumps to the next timer.

For tests in one thread and without sockets: what happens elsewhere is nothing to wait for here.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

from trio.testing import MockClock


class _Impatient(selectors.DefaultSelector):
    """Does not wait for files; tells its loop how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(None if timeout is None else 0)
        if not events and timeout:
            self.skipped += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time passes only by what it would have waited."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.skipped


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """What AnyIO's `anyio_backend` fixture has to return for a backend in virtual time."""
    if name == "trio":
        return name, {"clock": MockClock(autojump_threshold=0)}
    return name, {"loop_factory": VirtualLoop}
