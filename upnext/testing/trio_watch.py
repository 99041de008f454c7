"""Trio's virtual time, held while something works outside the event loop."""

from __future__ import annotations

from math import inf

import trio
from trio.testing import MockClock

from upnext.testing.outside import Outside


class Watch(trio.abc.Instrument):
    """Looks after each step of a task whether it left something under way outside.

    Meanwhile the clock runs as time really does; then it jumps again.

    Attributes:
        outside: What it looks at.
    """

    def __init__(self, clock: MockClock) -> None:
        self.outside = Outside(_threads)
        self._clock = clock
        self._jump, self._rate = clock.autojump_threshold, clock.rate
        self._held = False

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Hold the clock, or let it go."""
        if self.outside.works() is self._held:
            return
        self._held = not self._held
        self._clock.autojump_threshold = inf if self._held else self._jump
        self._clock.rate = 1.0 if self._held else self._rate


def _threads() -> int:
    # AnyIO's default limiter is this one.
    return trio.to_thread.current_default_thread_limiter().borrowed_tokens
