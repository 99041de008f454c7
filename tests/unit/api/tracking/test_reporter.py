"""One write an interval; nothing lost that Redis was away for; the rest at the end."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import ResponseError

from upnext.api.tracking import backlog as backlogs
from upnext.api.tracking.backlog import Backlog
from upnext.api.tracking.book import MOST_ENDPOINTS, Book
from upnext.api.tracking.reporter import INTERVAL, LAST_WRITE, Reporter
from upnext.model.traffic import TrafficBatch
from upnext.settings import ApiTrackingSettings


class Store:
    """Stands in for a store, and refuses repeats as it does."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, TrafficBatch]] = []
        self.added: dict[int, TrafficBatch] = {}
        self.errors: list[Exception] = []
        self.errors_after: list[Exception] = []
        self.takes = 0.0

    async def track(self, api: str, writer: str, batch: TrafficBatch) -> bool:
        assert (api, writer) == ("shop", "p1")
        await checkpoint()
        self.calls.append((anyio.current_time(), batch))
        if self.errors:
            raise self.errors.pop()
        await anyio.sleep(self.takes)
        is_new = batch.sequence > max(self.added, default=0)
        if is_new:
            self.added[batch.sequence] = batch
        if self.errors_after:
            raise self.errors_after.pop()
        return is_new

    @property
    def requests(self) -> int:
        return sum(row.tally.requests for one in self.added.values() for row in one.rows)


class Api:
    def __init__(self) -> None:
        self.store = Store()
        self.book = Book(ApiTrackingSettings())
        self.backlog = Backlog(self.book, 77)
        self.reporter = Reporter(self.store, "shop", "p1", self.backlog, anyio.current_time)

    def serve(self, endpoint: str = "/a", status: int = 200, seconds: float = 0.01) -> None:
        self.book.count(anyio.current_time(), "GET", endpoint, endpoint, status, seconds)


@asynccontextmanager
async def reporting() -> AsyncIterator[Api]:
    api = Api()
    async with anyio.create_task_group() as group:
        group.start_soon(api.reporter.run)
        yield api
        group.cancel_scope.cancel()


async def test_it_writes_what_was_served_once_an_interval_and_nothing_when_nothing_was() -> None:
    async with reporting() as api:
        began = anyio.current_time()
        for _ in range(100):
            api.serve()
        await anyio.sleep(INTERVAL * 1.5)
        [(at, batch)] = api.store.calls
        assert at - began == pytest.approx(INTERVAL)
        assert [(row.age, row.endpoint, row.tally.requests) for row in batch.rows] == [
            (0, "GET /a", 100)
        ]
        assert (len(batch.requests), batch.requests[0][0]) == (100, round(INTERVAL * 1000))
        assert batch.kept == 77
        await anyio.sleep(INTERVAL * 5)
        assert len(api.store.calls) == 1


async def test_while_the_store_is_away_counts_add_up_and_keep_their_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with reporting() as api:
        api.store.errors = [LostConnectionError("away")] * 200
        for _ in range(200):
            api.serve()
            await anyio.sleep(INTERVAL)
        await anyio.sleep(INTERVAL)
        assert api.store.added == {}
        assert api.backlog.requests == 200
        await anyio.sleep(INTERVAL * 2)
        assert (api.store.requests, api.backlog.requests) == (200, 0)
        ages = [row.age for one in api.store.added.values() for row in one.rows]
        assert ages[0] == pytest.approx(200_000, abs=2_000)
        assert 4 <= len(ages) <= 5
        assert ages == sorted(ages, reverse=True)
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "cannot write yet" in warnings[0].message


async def test_a_write_of_unknown_outcome_is_repeated_as_it_was() -> None:
    async with reporting() as api:
        api.store.errors_after = [LostConnectionError("cut")]
        api.serve()
        await anyio.sleep(INTERVAL * 1.5)
        api.serve("/b")
        await anyio.sleep(INTERVAL * 2)
    first, again, other = [batch for _, batch in api.store.calls]
    assert (first.sequence, again.sequence, other.sequence) == (1, 1, 2)
    assert [row.endpoint for row in again.rows] == ["GET /a"]
    assert again.rows[0].age == INTERVAL * 1000
    assert api.store.requests == 2


async def test_a_store_that_refuses_does_not_end_it() -> None:
    async with reporting() as api:
        api.store.errors = [ResponseError("OOM")] * 3
        api.serve()
        await anyio.sleep(INTERVAL * 5)
        assert api.store.requests == 1


async def test_many_endpoints_are_written_in_parts() -> None:
    async with reporting() as api:
        for n in range(MOST_ENDPOINTS):
            for k in range(20):
                api.serve(f"/{n}", seconds=0.001 * 2**k)
        await anyio.sleep(INTERVAL * 1.5)
        assert api.store.requests == MOST_ENDPOINTS * 20
        sizes = [
            sum(1 for row in batch.rows for _ in row.tally.pairs()) for _, batch in api.store.calls
        ]
        assert max(sizes) < backlogs.MOST_COUNTS + 90
        assert len(sizes) == math.ceil(sum(sizes) / backlogs.MOST_COUNTS) > 1


async def test_a_flood_of_single_requests_is_one_write_an_interval() -> None:
    async with reporting() as api:
        api.store.takes = 0.1
        for _ in range(30):
            for _ in range(300):
                api.serve()
            await anyio.sleep(INTERVAL / 10)
        assert 2 <= len(api.store.calls) <= 3
        assert all(len(batch.requests) <= 500 for _, batch in api.store.calls)
    assert api.store.requests == 30 * 300


async def test_at_the_end_it_writes_the_rest() -> None:
    async with reporting() as api:
        api.store.takes = LAST_WRITE / 4
        await anyio.sleep(INTERVAL / 2)
        api.serve()
        api.serve("/b", 500)
    assert api.store.requests == 2
    assert len(api.store.calls) == 1


async def test_at_the_end_it_tries_again_as_long_as_there_is_time() -> None:
    async with reporting() as api:
        api.store.errors = [LostConnectionError("cut")] * 3
        api.serve()
    assert (api.store.requests, len(api.store.calls)) == (1, 4)


async def test_cancelled_in_the_middle_of_a_write_it_repeats_that() -> None:
    async with reporting() as api:
        api.store.takes = INTERVAL
        api.serve()
        await anyio.sleep(INTERVAL * 1.5)
        api.serve()
        api.store.takes = 0
    assert [batch.sequence for _, batch in api.store.calls] == [1, 1, 2]
    assert api.store.requests == 2


async def test_a_store_that_hangs_holds_up_the_end_for_so_long_at_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    began = anyio.current_time()
    async with reporting() as api:
        api.store.takes = 1000
        api.serve()
    assert anyio.current_time() - began == pytest.approx(LAST_WRITE)
    assert "1 requests served here are not counted" in caplog.text
