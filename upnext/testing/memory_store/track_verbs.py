"""The verbs of API tracking, as a memory store has them."""

from __future__ import annotations

from upnext.contracts.api_instances import ApiInstance
from upnext.contracts.keys import Keys
from upnext.model.traffic import (
    EndpointTraffic,
    Period,
    PeriodTraffic,
    StoredRequest,
    Tally,
    TrafficBatch,
)
from upnext.store.roster import parse_apis, parse_instances
from upnext.store.traffic import first_period, requests_command
from upnext.testing.memory_store.present import Roll
from upnext.testing.memory_store.track import ApiRecord, read_tally, track


class TrackVerbs:
    """The part of a memory store that holds what APIs served. Every verb is a checkpoint first."""

    keys: Keys
    _apis: Roll
    _api_records: dict[str, ApiRecord]

    async def _now(self) -> int:
        raise NotImplementedError

    async def track(self, api: str, writer: str, batch: TrafficBatch) -> bool:
        """Add what a process of an API counted; False when it was added before."""
        record, now = await self._api(api)
        return track(record, now, writer, batch)

    async def present(self, api: str, instance: str, record: bytes, ttl: int) -> bool:
        """Say that an instance serves an API; whether it was known to."""
        known, now = await self._api(api)
        self._apis.present(now, api, api.encode(), Period.HOUR.kept)
        return known.roll.present(now, instance, record, ttl)

    async def leave(self, api: str, instance: str) -> None:
        """Say that an instance does not serve an API any more."""
        known, now = await self._api(api)
        known.roll.present(now, instance, b"", 0)

    async def apis(self) -> list[str]:
        """The names of all APIs that were served in the last 30 days, sorted."""
        return parse_apis(self._apis.roster(await self._now()))

    async def api_instances(self, api: str) -> list[ApiInstance]:
        """The instances that serve an API now, by id."""
        known, now = await self._api(api)
        return parse_instances(known.roll.roster(now))

    async def traffic(
        self, api: str, period: Period, count: int, until: int | None = None
    ) -> list[EndpointTraffic]:
        """What each endpoint of an API served in the last `count` minutes or hours."""
        record, now = await self._api(api)
        first = first_period(period, count, now if until is None else until)
        found: list[EndpointTraffic] = []
        for endpoint, at in sorted(record.endpoints.items()):
            total = Tally()
            for number in range(first, first + count):
                total.merge(read_tally(record, period, number, endpoint))
            if total.requests:
                found.append(EndpointTraffic(endpoint, total, at))
        return found

    async def trend(
        self,
        api: str,
        period: Period,
        count: int,
        endpoint: str = "",
        until: int | None = None,
    ) -> list[PeriodTraffic]:
        """What an API, or one endpoint of it, served in each of the last minutes or hours."""
        record, now = await self._api(api)
        first = first_period(period, count, now if until is None else until)
        return [
            PeriodTraffic(
                number * period.milliseconds, read_tally(record, period, number, endpoint)
            )
            for number in range(first, first + count)
        ]

    async def requests(
        self, api: str, after: str = "", before: str = "", most: int = 200
    ) -> list[StoredRequest]:
        """Single requests that an API served: those `after` one the oldest first, else the
        newest first."""
        record, _ = await self._api(api)
        requests_command(self.keys, api, after, before, most)  # for what it refuses
        low = _place(after) if after else (-1, 0)
        found = [
            request
            for place, request in record.requests
            if place > low and (not before or place < _place(before))
        ]
        return (found if after else found[::-1])[:most]

    async def _api(self, name: str) -> tuple[ApiRecord, int]:
        now = await self._now()
        record = self._api_records.setdefault(self.keys.api(name), ApiRecord(name))
        record.expire(now)
        return record, now


def _place(request_id: str) -> tuple[int, int]:
    first, _, second = request_id.partition("-")
    return int(first), int(second or 0)
