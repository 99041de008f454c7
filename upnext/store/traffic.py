"""Traffic: read what an API served."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.traffic import EndpointTraffic, Period, PeriodTraffic, StoredRequest, Tally
from upnext.redis.library import Call, Word

MOST_PER_CALL = 2_000
"""Minutes or hours of endpoints in one script call: the server serves nobody else meanwhile."""

_PLACE = re.compile(r"\d{1,20}(-\d{1,20})?")


def first_period(period: Period, count: int, now: int) -> int:
    """The number of the first of so many periods of which the last one is that of `now`."""
    if count < 1:
        raise ValueError(f"count must be 1 or more, not {count}")
    return now // period.milliseconds - count + 1


def sums_calls(
    keys: Keys, api: str, period: Period, first: int, count: int, endpoints: Sequence[str]
) -> Iterator[Call]:
    """Calls that sum up what endpoints served in `count` periods, some endpoints each."""
    page = max(1, MOST_PER_CALL // count)
    for i in range(0, len(endpoints), page):
        words: tuple[Word, ...] = (period.value, first, count, 0, *endpoints[i : i + page])
        yield Call("traffic", (keys.api(api),), words)


def trend_call(keys: Keys, api: str, period: Period, first: int, count: int, endpoint: str) -> Call:
    """What one endpoint, or with '' the whole API, served in each of `count` periods."""
    return Call("traffic", (keys.api(api),), (period.value, first, count, 1, endpoint))


def parse_endpoints(reply: Sequence[tuple[bytes, float]]) -> dict[str, int]:
    """Endpoint -> Unix milliseconds of its last request, by name; of ZRANGE WITHSCORES."""
    return {name.decode(): int(at) for name, at in sorted(reply)}


def parse_sums(last: dict[str, int], rows: Sequence[Sequence[Any]]) -> list[EndpointTraffic]:
    """The endpoints that served anything."""
    tallies = [Tally.parse(row) for row in rows]
    return [
        EndpointTraffic(endpoint, tally, at)
        for (endpoint, at), tally in zip(last.items(), tallies, strict=True)
        if tally.requests
    ]


def parse_trend(period: Period, first: int, rows: Sequence[Sequence[Any]]) -> list[PeriodTraffic]:
    return [
        PeriodTraffic((first + i) * period.milliseconds, Tally.parse(row))
        for i, row in enumerate(rows)
    ]


def requests_command(keys: Keys, api: str, after: str, before: str, most: int) -> tuple[Word, ...]:
    """Read single requests: those after a place the oldest first, else the newest first.

    Raises:
        ValueError: a place is not the id of a request.
    """
    for place in filter(None, (after, before)):
        if not _PLACE.fullmatch(place):
            raise ValueError(f"{place!r} is not the id of a request; give one that was read")
    key = keys.api(api) + "requests"
    low, high = f"({after}" if after else "-", f"({before}" if before else "+"
    ends = ("XRANGE", key, low, high) if after else ("XREVRANGE", key, high, low)
    return (*ends, "COUNT", most)


def parse_requests(api: str, reply: Sequence[Any]) -> list[StoredRequest]:
    found: list[StoredRequest] = []
    for entry, fields in reply:
        raw = {
            name.decode(): value.decode(errors="replace")
            for name, value in zip(fields[::2], fields[1::2], strict=True)
        }
        found.append(
            StoredRequest(
                id=entry.decode(),
                at=int(raw["at"]),
                api=api,
                instance=raw["instance"],
                method=raw["method"],
                path=raw["path"],
                status=int(raw["status"]),
                latency_ms=int(raw["us"]) / 1000,
                sampled=raw["sampled"] == "1",
            )
        )
    return found
