"""What the endpoints of an API served: counts by minute and hour, and single requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from attrs import define, field, frozen

from upnext.model.latency import BUCKETS, bucket_of, quantile

GONE = 499
"""Status of a request whose client went away before it was answered."""
UNMATCHED = "unmatched"
"""Stands for the path of all requests that no route was there for."""
OTHERS = "* others"
"""The endpoint that counts for all that there was no room for."""
MOST_ENDPOINTS = 1_000
"""Endpoints of one API that the store counts apart."""

_CLASSES = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")
_CLASS_OF = {status: status // 100 for status in range(100, 600)} | {GONE: 0}
_BROKEN = 5
"""The class of what is no HTTP status."""


class Period(StrEnum):
    """What counts are kept by."""

    MINUTE = "m"
    HOUR = "h"

    @property
    def milliseconds(self) -> int:
        """Its length."""
        return 60_000 if self is Period.MINUTE else 3_600_000

    @property
    def kept(self) -> int:
        """Milliseconds that its counts are kept after its end."""
        return 2 * 3_600_000 if self is Period.MINUTE else 30 * 86_400_000


@define
class Tally:
    """Requests, counted. Tallies add up, over processes, endpoints and time."""

    classes: list[int] = field(factory=lambda: [0] * len(_CLASSES))
    buckets: list[int] = field(factory=lambda: [0] * BUCKETS)
    micros: int = 0
    """Microseconds that all of them took."""

    def add(self, status: int, seconds: float) -> None:
        """Count one request."""
        self.classes[_CLASS_OF.get(status, _BROKEN)] += 1
        self.buckets[bucket_of(seconds)] += 1
        self.micros += int(seconds * 1e6)

    def merge(self, other: Tally) -> None:
        """Count what another tally has counted, too."""
        self.classes = [a + b for a, b in zip(self.classes, other.classes, strict=True)]
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        self.micros += other.micros

    def pairs(self) -> Iterator[tuple[str, int]]:
        """The counts that are not 0, by the names they are stored under."""
        for name, count in zip(_CLASSES, self.classes, strict=True):
            if count:
                yield name, count
        for bucket, count in enumerate(self.buckets):
            if count:
                yield f"b{bucket}", count
        if self.micros:
            yield "us", self.micros

    @classmethod
    def parse(cls, words: Sequence[Any]) -> Tally:
        """Read names and counts, flat; names of other releases are passed over."""
        tally = cls()
        for word, count in zip(words[::2], words[1::2], strict=True):
            name = word.decode() if isinstance(word, bytes) else str(word)
            if name == "us":
                tally.micros = int(count)
            elif name in _CLASSES:
                tally.classes[_CLASSES.index(name)] = int(count)
            elif name[1:].isdecimal() and name[0] == "b" and int(name[1:]) < BUCKETS:
                tally.buckets[int(name[1:])] = int(count)
        return tally

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self.classes)

    @property
    def errors(self) -> int:
        """Those that ended with a status of 400 or more, `gone` included."""
        return self.client_errors + self.server_errors + self.gone

    @property
    def gone(self) -> int:
        """Those whose client went away before they were answered."""
        return self.classes[0]

    @property
    def succeeded(self) -> int:
        """Those with a status of 200 to 299."""
        return self.classes[2]

    @property
    def redirected(self) -> int:
        """Those with a status of 300 to 399."""
        return self.classes[3]

    @property
    def client_errors(self) -> int:
        """Those with a status of 400 to 499, without `gone`."""
        return self.classes[4]

    @property
    def server_errors(self) -> int:
        """Those with a status of 500 or more, and those whose handler raised."""
        return self.classes[5]

    @property
    def average(self) -> float:
        """Seconds that one took; 0.0 when there was none."""
        requests = self.requests
        return self.micros / 1e6 / requests if requests else 0.0

    @property
    def p50(self) -> float:
        """Seconds that half of them did not exceed; see `upnext.model.latency`."""
        return quantile(self.buckets, 0.5)

    @property
    def p95(self) -> float:
        """Seconds that 95 % of them did not exceed."""
        return quantile(self.buckets, 0.95)

    @property
    def p99(self) -> float:
        """Seconds that 99 % of them did not exceed."""
        return quantile(self.buckets, 0.99)


class Sighting(NamedTuple):
    """One request, noted when it was over."""

    at: float
    """When it ended, by the clock of whoever noted it."""
    method: str
    path: str
    """The route's template; of an unmatched request its own path."""
    status: int
    seconds: float
    sampled: bool
    """It is one of a sample; errors and slow ones are always noted."""


@frozen
class TrafficRow:
    """What one endpoint served."""

    age: int
    """Milliseconds ago."""
    endpoint: str
    tally: Tally


@frozen(kw_only=True)
class TrafficBatch:
    """What one process writes at once. One that was written is not written again."""

    sequence: int
    """Counts the batches of the process from 1."""
    rows: Sequence[TrafficRow]
    requests: Sequence[tuple[int, Sighting]] = ()
    """Milliseconds ago, and the request."""
    kept: int = 50_000
    """How many requests of the API are kept, the newest."""


@frozen
class EndpointTraffic:
    """What one endpoint served in some periods."""

    endpoint: str
    """Method and path, `GET /orders/{id}`."""
    tally: Tally
    last_at: int
    """Unix milliseconds of its last request, be it outside of those periods, to about a second."""

    @property
    def method(self) -> str:
        """`OTHER` for methods that HTTP does not know, `*` for the one that counts for others."""
        return self.endpoint.partition(" ")[0]

    @property
    def path(self) -> str:
        """The route's template."""
        return self.endpoint.partition(" ")[2]


@frozen
class PeriodTraffic:
    """What was served in one minute or hour."""

    at: int
    """Unix milliseconds when it began."""
    tally: Tally


@frozen(kw_only=True)
class StoredRequest:
    """One request as the store keeps it."""

    id: str
    """Its place; where to read on."""
    at: int
    """Unix milliseconds of the store's clock when it ended."""
    api: str
    instance: str
    method: str
    path: str
    status: int
    latency_ms: float
    sampled: bool
