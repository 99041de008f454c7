"""Track: add what an API served; the twin of `track.lua`."""

from __future__ import annotations

from attrs import define, evolve, field

from upnext.model.traffic import (
    MOST_ENDPOINTS,
    OTHERS,
    Period,
    StoredRequest,
    Tally,
    TrafficBatch,
)
from upnext.testing.memory_store.present import Roll

WRITER_LIVE = 2 * 3_600_000
"""Milliseconds for which a writer's last batch is known."""


@define(eq=False)
class ApiRecord:
    """Owns what the keys under an API's prefix hold."""

    name: str
    roll: Roll = field(factory=Roll)
    endpoints: dict[str, int] = field(factory=dict[str, int])
    """Endpoint -> when it was last called."""
    tallies: dict[tuple[Period, int, str], Tally] = field(
        factory=dict[tuple[Period, int, str], Tally]
    )
    """What an endpoint, or '' for all, served in the n-th minute or hour."""
    requests: list[tuple[tuple[int, int], StoredRequest]] = field(
        factory=list[tuple[tuple[int, int], StoredRequest]]
    )
    seen: dict[str, tuple[int, int]] = field(factory=dict[str, tuple[int, int]])
    """Writer -> its last batch, and until when it is known."""

    def expire(self, now: int) -> None:
        """Forget what has outlived its time."""
        self.seen = {writer: one for writer, one in self.seen.items() if one[1] > now}
        self.tallies = {
            (period, number, endpoint): tally
            for (period, number, endpoint), tally in self.tallies.items()
            if (number + 1) * period.milliseconds + period.kept > now
        }

    def tally(self, period: Period, number: int, endpoint: str) -> Tally:
        """What was served then; it may be added to."""
        return self.tallies.setdefault((period, number, endpoint), Tally())


def track(api: ApiRecord, now: int, writer: str, batch: TrafficBatch) -> bool:
    """Add a batch; False when it was added before."""
    last, _ = api.seen.get(writer, (0, 0))
    if batch.sequence <= last:
        return False
    api.seen[writer] = (batch.sequence, now + WRITER_LIVE)
    limit = now - Period.HOUR.kept
    api.endpoints = {name: at for name, at in api.endpoints.items() if at > limit}
    for row in batch.rows:
        at, endpoint = now - row.age, row.endpoint
        if endpoint not in api.endpoints and len(api.endpoints) >= MOST_ENDPOINTS:
            endpoint = OTHERS
        api.endpoints[endpoint] = max(at, api.endpoints.get(endpoint, 0))
        for name in (endpoint, ""):
            for period in Period:
                api.tally(period, at // period.milliseconds, name).merge(row.tally)
    for age, one in batch.requests:
        place = (now, 0)
        if api.requests and api.requests[-1][0] >= place:
            last_at, count = api.requests[-1][0]
            place = (last_at, count + 1)
        request = StoredRequest(
            id=f"{place[0]}-{place[1]}",
            at=now - age,
            api=api.name,
            instance=writer,
            method=one.method,
            path=one.path,
            status=one.status,
            latency_ms=int(one.seconds * 1e6) / 1000,
            sampled=one.sampled,
        )
        api.requests.append((place, request))
    if batch.requests:
        del api.requests[: -batch.kept]
    return True


def read_tally(api: ApiRecord, period: Period, number: int, endpoint: str) -> Tally:
    """A copy of what was served then."""
    tally = api.tallies.get((period, number, endpoint), Tally())
    return evolve(tally, classes=[*tally.classes], buckets=[*tally.buckets])
