"""An asyncio event loop in virtual time: when nothing can run, its clock jumps to the next timer.

This file, and no other, names asyncio: a clock of asyncio's is an event loop of its own.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter

from upnext.testing.outside import Outside


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes by what it would have waited.

    It does not wait for sockets. While threads work for it, time passes as it really does.

    Attributes:
        outside: What it waits for.
    """

    def __init__(self) -> None:
        self.outside = Outside(self._threads)
        self._limiter: CapacityLimiter | None = None
        self._impatient = _Impatient(self.outside)
        super().__init__(self._impatient)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._impatient.passed

    @property
    def _clock_resolution(self) -> float:
        # asyncio runs a timer once it is due by less than this. After some months a nanosecond
        # is too little for a float to hold, and a timer that is due now would never run.
        return math.ulp(self.time())

    @_clock_resolution.setter
    def _clock_resolution(self, value: float) -> None:
        """Asyncio sets the real clock's."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """As every loop does it; the call counts as work outside."""
        future = super().run_in_executor(executor, func, *args)
        self.outside.held += 1
        future.add_done_callback(self._released)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        """As every loop does it; Python 3.12 and later give the threads a time limit."""
        self.outside.held += 1
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self.outside.held -= 1

    def _threads(self) -> int:
        if self._limiter is None:
            self._limiter = anyio.to_thread.current_default_thread_limiter()
        return self._limiter.borrowed_tokens

    def _released(self, future: object) -> None:
        self.outside.held -= 1


class _Impatient(selectors.DefaultSelector):
    """Does not wait for files; adds up how long it would have waited."""

    def __init__(self, outside: Outside) -> None:
        super().__init__()
        self.passed = 0.0
        self._outside = outside

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or (timeout > 0 and self._outside.works()):
            began = time.monotonic()
            events = super().select(timeout)
            if timeout is not None:
                self.passed += time.monotonic() - began
            return events
        events = super().select(0)
        if not events:
            self.passed += max(timeout, 0)
        return events
