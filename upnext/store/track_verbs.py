"""The verbs of API tracking, bound to one link."""

from __future__ import annotations

from typing import Any

from upnext.contracts.api_instances import ApiInstance
from upnext.contracts.keys import Keys
from upnext.model.traffic import (
    EndpointTraffic,
    Period,
    PeriodTraffic,
    StoredRequest,
    TrafficBatch,
)
from upnext.redis.library import Caller
from upnext.redis.link import Link
from upnext.store.present import leave_call, present_calls
from upnext.store.roster import apis_call, parse_apis, parse_instances, roster_call
from upnext.store.track import track_call
from upnext.store.traffic import (
    first_period,
    parse_endpoints,
    parse_requests,
    parse_sums,
    parse_trend,
    requests_command,
    sums_calls,
    trend_call,
)


class TrackVerbs:
    """The part of a store that holds what APIs served."""

    keys: Keys
    _link: Link
    _call: Caller

    async def now(self) -> int:
        raise NotImplementedError

    async def track(self, api: str, writer: str, batch: TrafficBatch) -> bool:
        """Add what a process of an API counted, and single requests.

        Sent again safely: a batch whose sequence is not above the writer's last one adds nothing.

        Returns:
            Whether it was added by this call.
        """
        call = track_call(self.keys, api, writer, batch)
        [added] = await self._call.call_many([call], idempotent=True)
        return added == 1

    async def present(self, api: str, instance: str, record: bytes, ttl: int) -> bool:
        """Say that an instance serves an API, for `ttl` milliseconds from now.

        Args:
            api: Its name.
            instance: The instance's id.
            record: What `ApiInstance.pack` gives.
            ttl: Milliseconds.

        Returns:
            Whether it was known to.
        """
        calls = present_calls(self.keys, api, instance, record, ttl)
        _, known = await self._call.call_many(calls, idempotent=True)
        return known == 1

    async def leave(self, api: str, instance: str) -> None:
        """Say that an instance does not serve an API any more."""
        await self._call.call_many([leave_call(self.keys, api, instance)], idempotent=True)

    async def apis(self) -> list[str]:
        """The names of all APIs that were served in the last 30 days, sorted."""
        [reply] = await self._call.call_many([apis_call(self.keys)], idempotent=True)
        return parse_apis(reply)

    async def api_instances(self, api: str) -> list[ApiInstance]:
        """The instances that serve an API now, by id."""
        call = roster_call(self.keys.api(api))
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_instances(reply)

    async def traffic(
        self, api: str, period: Period, count: int, until: int | None = None
    ) -> list[EndpointTraffic]:
        """What each endpoint of an API served in the last `count` minutes or hours, this included.

        Args:
            api: Its name.
            period: What to count by; minutes are kept for 2 hours, hours for 30 days.
            count: How many.
            until: Unix milliseconds in the last one of them; None: now.

        Returns:
            The endpoints that served anything then, sorted by name.
        """
        first = first_period(period, count, await self.now() if until is None else until)
        key = self.keys.api(api) + "endpoints"
        reply = await self._link.execute("ZRANGE", key, 0, -1, "WITHSCORES", idempotent=True)
        last = parse_endpoints(reply)
        rows: list[Any] = []
        for call in sums_calls(self.keys, api, period, first, count, list(last)):
            [page] = await self._call.call_many([call], idempotent=True)
            rows += page
        return parse_sums(last, rows)

    async def trend(
        self,
        api: str,
        period: Period,
        count: int,
        endpoint: str = "",
        until: int | None = None,
    ) -> list[PeriodTraffic]:
        """What an API, or one endpoint of it, served in each of the last minutes or hours.

        Args:
            api: Its name.
            period: What to count by.
            count: How many, up to the one of now or of `until`.
            endpoint: Method and path; '': all of the API.
            until: Unix milliseconds in the last one of them; None: now.
        """
        first = first_period(period, count, await self.now() if until is None else until)
        call = trend_call(self.keys, api, period, first, count, endpoint)
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_trend(period, first, reply)

    async def requests(
        self, api: str, after: str = "", before: str = "", most: int = 200
    ) -> list[StoredRequest]:
        """Single requests that an API served.

        Args:
            api: Its name.
            after: Those behind the request with this id, the oldest first; '': the newest first.
            before: Those ahead of the request with this id.
            most: So many of them at most.
        """
        command = requests_command(self.keys, api, after, before, most)
        return parse_requests(api, await self._link.execute(*command, idempotent=True))
