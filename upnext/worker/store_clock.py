"""The store's clock, as far as this worker can tell."""

from __future__ import annotations

import time
from math import inf

import anyio


class StoreClock:
    """Owns the offset between the store's clock and the event loop's.

    Deadlines are Redis time; scopes need the loop's. Every claim tells the store's time, so a
    worker's own wall clock never matters. A job may overtake the answer to the first claim: it
    brings the time along.
    """

    def __init__(self) -> None:
        self._offset = inf
        self._ahead = 0.0

    def set(self, store_now: int) -> None:
        """The store said its time, Unix milliseconds, just now."""
        now = anyio.current_time()
        self._offset, self._ahead = now - store_now / 1000, now - time.monotonic()

    def start(self, store_now: int) -> None:
        """The store said its time a moment ago: better than none, if nothing better was said."""
        if self._offset == inf:
            self.set(store_now)

    def loop_time(self, store_time: int) -> float:
        """A time of the store, Unix milliseconds, on the event loop's clock."""
        return store_time / 1000 + self._offset

    def from_thread(self) -> float:
        """The event loop's time, for threads that cannot ask it."""
        return time.monotonic() + self._ahead

    def store_time(self, loop_time: float) -> float:
        """A time of the event loop's clock on the store's, Unix seconds."""
        return loop_time - self._offset
