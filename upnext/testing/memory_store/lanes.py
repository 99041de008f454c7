"""Lanes: where jobs wait for a worker, one per priority."""

from __future__ import annotations

from collections.abc import Iterator

from upnext.testing.memory_store.record import Record

KEYED = "*"
"""The lane of claimed jobs that have limit keys; they wait elsewhere (`ring.py`)."""
PICKED = "+"
"""The lane of jobs that were claimed out of their turn; nothing waits in it."""
_PLACES = {KEYED: -1000.0, PICKED: -500.0}


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
        """A job that has limit keys was claimed: it has a place among the claimed ones."""
        self._hold(job, KEYED)

    def picked(self, job: Record) -> None:
        """A job was claimed out of its turn."""
        self._hold(job, PICKED)

    def _hold(self, job: Record, lane: str) -> None:
        self._entries += 1
        self._waiting.setdefault(lane, {})
        job.lane, job.entry = lane, self._entries

    def drop(self, job: Record) -> None:
        """Take a job out of its lane, wherever it stands there."""
        self._waiting[job.lane].pop(job.entry, None)

    def take(self, lane: str, count: int) -> list[Record]:
        """Take out those who wait longest in a lane, up to `count`."""
        waiting = self._waiting[lane]
        return [waiting.pop(entry) for entry in list(waiting)[:count]]

    def highest_first(self) -> list[str]:
        """The names of the lanes, the highest first."""
        return sorted(self._waiting, key=_score, reverse=True)

    def to_claim(self) -> list[str]:
        """Those of them that jobs wait in, in claim order."""
        return [lane for lane in self.highest_first() if lane not in _PLACES]

    def __len__(self) -> int:
        """How many jobs wait in all lanes together."""
        return sum(len(waiting) for waiting in self._waiting.values())

    def __iter__(self) -> Iterator[Record]:
        for lane in self.highest_first():
            yield from self._waiting[lane].values()


def _score(lane: str) -> float:
    if lane in _PLACES:
        return _PLACES[lane]
    return float(lane.removesuffix("^")) + (0.5 if lane.endswith("^") else 0.0)
