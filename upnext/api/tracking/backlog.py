"""What was counted and is not known to be written."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from upnext.api.tracking.book import Book
from upnext.model.traffic import Sighting, Tally, TrafficBatch, TrafficRow

SLICE = 60.0
"""Seconds of counts that are added up while they wait."""
MOST_SLICES = 30
"""So many wait apart; of more the oldest are added up, so that no request is lost."""
MOST_COUNTS = 2_000
"""Counts in one write; the server serves nobody else while a script runs."""
MOST_SIGHTINGS = 500
"""Single requests in one write."""


@define(eq=False)
class _Slice:
    at: float
    tallies: dict[str, Tally] = field(factory=dict[str, Tally])

    def merge(self, tallies: Mapping[str, Tally]) -> None:
        for endpoint, tally in tallies.items():
            known = self.tallies.get(endpoint)
            if known is None:
                self.tallies[endpoint] = tally
            else:
                known.merge(tally)


@frozen
class _Pending:
    """A batch under way. It stays as it is until it is written, for its number is used up."""

    sequence: int
    rows: Sequence[tuple[float, str, Tally]]
    sightings: Sequence[Sighting]


class Backlog:
    """Owns the slices that wait and the one batch that is under way."""

    def __init__(self, book: Book, kept: int) -> None:
        self._book = book
        self._kept = kept
        self._slices: deque[_Slice] = deque()
        self._pending: _Pending | None = None
        self._sequence = 0

    def gather(self, now: float) -> None:
        """Take what the book has counted by now."""
        taken = self._book.take()
        if not taken:
            return
        if not self._slices or self._slices[-1].at + SLICE <= now:
            self._slices.append(_Slice(now))
        self._slices[-1].merge(taken)
        while len(self._slices) > MOST_SLICES:
            oldest = self._slices.popleft()
            later, self._slices[0] = self._slices[0], oldest
            oldest.merge(later.tallies)

    def batch(self, now: float) -> TrafficBatch | None:
        """What to write next: the same until it is `written`; None when there is nothing."""
        if self._pending is None:
            rows = self._take_rows()
            sightings = self._book.take_sightings(MOST_SIGHTINGS)
            if not rows and not sightings:
                return None
            self._sequence += 1
            self._pending = _Pending(self._sequence, rows, sightings)
        return TrafficBatch(
            sequence=self._pending.sequence,
            rows=[
                TrafficRow(_age(at, now), endpoint, tally)
                for at, endpoint, tally in self._pending.rows
            ],
            requests=[(_age(one.at, now), one) for one in self._pending.sightings],
            kept=self._kept,
        )

    def written(self) -> None:
        """The batch is written."""
        self._pending = None

    @property
    def empty(self) -> bool:
        """Whether all that was gathered is written, and all single requests are."""
        return self._pending is None and not self._slices and not self._book.sightings

    @property
    def pressing(self) -> bool:
        """Whether counts that were gathered still wait."""
        return bool(self._slices)

    @property
    def requests(self) -> int:
        """Requests whose counts were gathered and are not known to be written."""
        waiting = [tally for one in self._slices for tally in one.tallies.values()]
        if self._pending is not None:
            waiting += [tally for _, _, tally in self._pending.rows]
        return sum(tally.requests for tally in waiting)

    def _take_rows(self) -> list[tuple[float, str, Tally]]:
        rows: list[tuple[float, str, Tally]] = []
        counts = 0
        while self._slices and counts < MOST_COUNTS:
            oldest = self._slices[0]
            while oldest.tallies and counts < MOST_COUNTS:
                endpoint = next(iter(oldest.tallies))
                tally = oldest.tallies.pop(endpoint)
                rows.append((oldest.at, endpoint, tally))
                counts += sum(1 for _ in tally.pairs())
            if not oldest.tallies:
                self._slices.popleft()
        return rows


def _age(at: float, now: float) -> int:
    return max(0, round((now - at) * 1000))
