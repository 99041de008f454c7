"""Finished attempts on their way to the store."""

from __future__ import annotations

from collections import deque

import anyio
from attrs import frozen

from upnext.model.outcome import Outcome


@frozen
class OutboxStatistics:
    """A snapshot."""

    queued: int
    closed: bool


class Outbox:
    """Owns the outcomes that are not written yet. Touched from the event loop only."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._outcomes: deque[Outcome] = deque()
        self._closed = False
        self._arrival = anyio.Event()
        self._room = anyio.Event()

    @property
    def full(self) -> bool:
        """Whether executors should wait before they start another job."""
        return len(self._outcomes) >= self._size

    def put(self, outcome: Outcome) -> None:
        """Add an outcome, at once and always: a finished job must not be lost to a full box.

        The bound is kept by executors that wait for `room` before they take another job, so
        the box overruns by one outcome per executor at most.
        """
        self._outcomes.append(outcome)
        self._arrival.set()

    async def room(self) -> None:
        """Return when the box is not full."""
        while self.full:
            if self._room.is_set():  # else others wait for this very event
                self._room = anyio.Event()
            await self._room.wait()

    async def arrival(self, least: int = 1) -> None:
        """Return when so many outcomes wait, or the box is closed."""
        while len(self._outcomes) < least and not self._closed:
            self._arrival = anyio.Event()
            await self._arrival.wait()

    def take(self, most: int) -> list[Outcome]:
        """Remove and return the oldest outcomes."""
        outcomes = self._outcomes
        batch = [outcomes.popleft() for _ in range(min(most, len(outcomes)))]
        if not self.full:
            self._room.set()
        return batch

    def put_back(self, batch: list[Outcome]) -> None:
        """Return a batch that could not be written, in its order."""
        self._outcomes.extendleft(reversed(batch))

    def close(self) -> None:
        """No more outcomes come."""
        self._closed = True
        self._arrival.set()

    @property
    def ended(self) -> bool:
        """Whether the box is closed and empty."""
        return self._closed and not self._outcomes

    def statistics(self) -> OutboxStatistics:
        return OutboxStatistics(len(self._outcomes), self._closed)
