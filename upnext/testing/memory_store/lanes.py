"""Lanes: where jobs wait for a worker, one per priority."""

from __future__ import annotations

from collections.abc import Iterator

from upnext.testing.memory_store.record import Record

KEYED = "*"
"""The lane of claimed jobs that have limit keys; they wait elsewhere (`ring.py`)."""


class Lanes:
    """Owns who waits in which lane, and in what order.

    Lane `<p>` holds jobs of priority p in the order they came. Lane `<p>^` holds those that were
    handed back or rescued: they go before `<p>`, and after every higher priority. A lane stays
    once it exists, as a stream does.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, dict[int, Record]] = {}
        self._entries = 0

    def put(self, job: Record, *, first: bool) -> None:
        """Let a job wait at the end of its lane."""
        self._entries += 1
        job.lane, job.entry = f"{job.priority}^" if first else str(job.priority), self._entries
        self._waiting.setdefault(job.lane, {})[job.entry] = job

    def claimed(self, job: Record) -> None:
        """A job that waited elsewhere was claimed: it has a place among the claimed ones."""
        self._entries += 1
        self._waiting.setdefault(KEYED, {})
        job.lane, job.entry = KEYED, self._entries

    def drop(self, job: Record) -> None:
        """Take a job out of its lane, wherever it stands there."""
        self._waiting[job.lane].pop(job.entry, None)

    def take(self, lane: str, count: int) -> list[Record]:
        """Take out those who wait longest in a lane, up to `count`."""
        waiting = self._waiting[lane]
        return [waiting.pop(entry) for entry in list(waiting)[:count]]

    def highest_first(self) -> list[str]:
        """The names of the lanes in claim order."""
        return sorted(self._waiting, key=_score, reverse=True)

    def __len__(self) -> int:
        """How many jobs wait in all lanes together."""
        return sum(len(waiting) for waiting in self._waiting.values())

    def __iter__(self) -> Iterator[Record]:
        for lane in self.highest_first():
            yield from self._waiting[lane].values()


def _score(lane: str) -> float:
    if lane == KEYED:
        return -1000.0
    return float(lane.removesuffix("^")) + (0.5 if lane.endswith("^") else 0.0)
