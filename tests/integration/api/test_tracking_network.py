"""Tracking behind a network that swallows answers and cuts: every request counts exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from tests.support.counted import Server, ok
from tests.support.proxy import Proxy
from tests.support.servers import RedisServer
from upnext.api.tracking import Tracker
from upnext.contracts.keys import Keys
from upnext.model.traffic import Period, TrafficBatch
from upnext.redis.link import Link
from upnext.redis.url import Address
from upnext.store.bounds import Bounds
from upnext.store.store import Store


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    redis_server.flush()
    with Proxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


class Watched:
    """A store that says when something is written, and whether it had been before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.present = store.present
        self.leave = store.leave
        self.repeats = 0
        self.written = anyio.Event()

    async def track(self, api: str, writer: str, batch: TrafficBatch) -> bool:
        added = await self._store.track(api, writer, batch)
        self.repeats += not added
        self.written.set()
        self.written = anyio.Event()
        return added


@pytest.mark.parametrize("patience", [0.1, 30.0])
async def test_answers_that_are_lost_do_not_count_twice(
    proxy: Proxy, redis_server: RedisServer, patience: float
) -> None:
    """With little patience the stage repeats the write; with much the link does."""
    server, served = Server(ok), 0
    link = Link(Address.parse(proxy.url), timeout=0.2, patience=patience)
    direct = Link(Address.parse(redis_server.url))
    watched = Watched(Store(link, Keys(), Bounds()))
    tracker = Tracker("shop", "i1", watched, interval=0.02)
    app = tracker.middleware(ok)

    async def serve() -> None:
        nonlocal served
        for _ in range(50):
            server.incoming.append({"type": "http.request"})
            scope = {"type": "http", "path": "/orders/7", "method": "GET"}
            await app(scope, server.receive, server.send)
            served += 1

    async with anyio.create_task_group() as group:
        await group.start(tracker.run)
        await serve()
        await watched.written.wait()
        for _ in range(4):
            proxy.taken.clear()
            proxy.swallow = True
            await serve()
            await anyio.to_thread.run_sync(proxy.taken.wait)
            written = watched.written
            proxy.swallow = False
            proxy.reset()
            await written.wait()
        await serve()
        proxy.reset()
        group.cancel_scope.cancel()
    store = Store(direct, Keys(), Bounds())
    try:
        assert watched.repeats == 4
        found = await store.traffic("shop", Period.HOUR, 2)
        assert [(one.endpoint, one.tally.requests) for one in found] == [
            ("GET /orders/{id}", served)
        ]
        noted = await store.requests("shop", most=1000)
        assert len(noted) == served
        assert tracker.statistics().unwritten == 0
    finally:
        with anyio.move_on_after(5, shield=True):
            await link.aclose()
            await direct.aclose()
