"""What this process served and did not hand on to be written yet."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

from upnext.model.traffic import OTHERS, Sighting, Tally
from upnext.settings import ApiTrackingSettings

MOST_ENDPOINTS = 500
"""Endpoints of one process that are counted apart; the rest is counted as one."""
MOST_SIGHTINGS = 500
"""Single requests that wait to be written, sampled ones and others each; then the oldest go."""
LONGEST_PATH = 200
"""Characters of a path; the rest is cut off."""


class Book:
    """Owns the counts since they were last taken, and the single requests that wait.

    Counting neither waits nor locks: whoever counts and takes does so on one event loop.
    """

    def __init__(
        self,
        settings: ApiTrackingSettings,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.dropped = 0
        """Single requests that there was no room for; they are counted all the same."""
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._known: set[tuple[str, str]] = set()
        self._others = Tally()
        self._chance = chance
        self._enabled = settings.events_enabled
        self._slow = settings.events_slow_ms / 1000
        self._rate = settings.events_sample_rate
        self._notable: deque[Sighting] = deque(maxlen=MOST_SIGHTINGS)
        self._sampled: deque[Sighting] = deque(maxlen=MOST_SIGHTINGS)

    def count(
        self, at: float, method: str, template: str, path: str, status: int, seconds: float
    ) -> None:
        """Count one request that is over.

        Args:
            at: When it ended.
            method: Its method.
            template: What it is counted under.
            path: What it is shown with.
            status: Its HTTP status.
            seconds: How long it took.
        """
        tally = self._tallies.get((method, template))
        if tally is None:
            tally = self._open(method, template)
        tally.add(status, seconds)
        if not self._enabled:
            return
        if status >= 400 or seconds >= self._slow:
            waiting, sampled = self._notable, False
        elif self._rate >= 1 or self._chance() < self._rate:
            waiting, sampled = self._sampled, True
        else:
            return
        if len(waiting) == MOST_SIGHTINGS:
            self.dropped += 1
        waiting.append(Sighting(at, method, path[:LONGEST_PATH], status, seconds, sampled))

    def take(self) -> dict[str, Tally]:
        """The counts since the last time, by endpoint; they begin anew."""
        taken = {f"{method} {path}": tally for (method, path), tally in self._tallies.items()}
        if self._others.requests:
            taken[OTHERS] = self._others
            self._others = Tally()
        self._tallies = {}
        return taken

    def take_sightings(self, most: int) -> list[Sighting]:
        """Up to so many single requests, in the order in which they ended; errors and slow ones
        go before others."""
        notable = [self._notable.popleft() for _ in range(min(most, len(self._notable)))]
        room = most - len(notable)
        sampled = [self._sampled.popleft() for _ in range(min(room, len(self._sampled)))]
        return sorted(notable + sampled, key=lambda one: one.at)

    @property
    def sightings(self) -> int:
        """Single requests that wait."""
        return len(self._notable) + len(self._sampled)

    def _open(self, method: str, template: str) -> Tally:
        key = (method, template[:LONGEST_PATH])
        if key not in self._known:
            if len(self._known) >= MOST_ENDPOINTS:
                return self._others
            self._known.add(key)
        return self._tallies.setdefault(key, Tally())
