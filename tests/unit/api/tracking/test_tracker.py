"""All of it together, on a store in memory: what is served is what the server reads."""

from __future__ import annotations

import anyio

from tests.support.counted import Server, ok
from upnext.api.tracking import ApiTrackingConfig, Tracker
from upnext.api.tracking.presence import INTERVAL
from upnext.model.traffic import Period
from upnext.settings import ApiTrackingSettings
from upnext.testing.memory import MemoryStore


async def serve(tracker: Tracker, count: int) -> None:
    server = Server(ok)
    app = tracker.middleware(ok)
    for n in range(count):
        scope = {"type": "http", "path": f"/orders/{n}", "method": "GET"}
        server.incoming.append({"type": "http.request"})
        await app(scope, server.receive, server.send)


def make(store: MemoryStore, instance: str, config: ApiTrackingConfig | None = None) -> Tracker:
    return Tracker(
        "shop",
        instance,
        store,
        settings=ApiTrackingSettings(events_stream_max_len=4),
        config=config,
        host="127.0.0.1",
        endpoints=lambda: ["GET /orders/{id}"],
        clock=anyio.current_time,
    )


async def test_several_instances_of_an_api_add_up_and_are_seen() -> None:
    store = MemoryStore()
    one, other = make(store, "i1"), make(store, "i2")
    await serve(one, 3)  # before anything runs
    async with anyio.create_task_group() as group:
        await group.start(one.run)
        await group.start(other.run)
        one.listens_at("127.0.0.1", 4321)
        await serve(other, 2)
        assert one.statistics().waiting == 3
        await anyio.sleep(INTERVAL * 1.5)
        [traffic] = await store.traffic("shop", Period.MINUTE, 2)
        assert (traffic.endpoint, traffic.tally.requests) == ("GET /orders/{id}", 5)
        found = await store.api_instances("shop")
        assert [(one.id, one.port) for one in found] == [("i1", 4321), ("i2", 0)]
        assert await store.apis() == ["shop"]
        assert [one.path for one in await store.requests("shop")] == ["/orders/{id}"] * 4
        await serve(one, 1)
        group.cancel_scope.cancel()
    [hour] = [one for one in await store.trend("shop", Period.HOUR, 2) if one.tally.requests]
    assert hour.tally.requests == 6
    assert await store.api_instances("shop") == []
    statistics = one.statistics()
    assert (statistics.unwritten, statistics.waiting, statistics.dropped) == (0, 0, 0)


async def test_an_api_may_set_things_differently() -> None:
    store = MemoryStore()
    config = ApiTrackingConfig(normalize_paths=False, events_enabled=False)
    tracker = make(store, "i1", config)
    assert tracker.settings.events_stream_max_len == 4
    async with anyio.create_task_group() as group:
        await group.start(tracker.run)
        await serve(tracker, 2)
        group.cancel_scope.cancel()
    found = await store.traffic("shop", Period.HOUR, 2)
    assert [one.path for one in found] == ["/orders/0", "/orders/1"]
    assert await store.requests("shop") == []
