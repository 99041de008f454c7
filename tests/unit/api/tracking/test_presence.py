"""An instance says that it is there, again and again, and that it leaves."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError

from upnext.api.tracking.presence import INTERVAL, LEAVE, TTL, Presence
from upnext.contracts.api_instances import ApiInstance


class Store:
    def __init__(self) -> None:
        self.beats: list[tuple[str, str, bytes, int]] = []
        self.left: list[tuple[str, str]] = []
        self.fails = 0
        self.hangs = False

    async def present(self, api: str, instance: str, record: bytes, ttl: int) -> bool:
        await checkpoint()
        if self.fails:
            self.fails -= 1
            raise LostConnectionError("gone")
        self.beats.append((api, instance, record, ttl))
        return len(self.beats) > 1

    async def leave(self, api: str, instance: str) -> None:
        if self.hangs:
            await anyio.sleep_forever()
        await checkpoint()
        if self.fails:
            raise LostConnectionError("gone")
        self.left.append((api, instance))


def make(store: Store, routes: list[str]) -> Presence:
    return Presence(store, "shop", "i1", "127.0.0.1", 8000, lambda: routes)


async def test_it_beats_more_often_than_its_record_expires_and_leaves() -> None:
    store, routes = Store(), ["GET /a"]
    presence = make(store, routes)
    async with anyio.create_task_group() as group:
        group.start_soon(presence.run)
        await anyio.sleep(INTERVAL * 1.5)
        routes.append("GET /b")
        presence.port = 9000
        await anyio.sleep(INTERVAL)
        group.cancel_scope.cancel()
    assert INTERVAL * 1000 * 2 < TTL
    assert {(api, instance, ttl) for api, instance, _, ttl in store.beats} == {("shop", "i1", TTL)}
    first, _, last = [ApiInstance.parse(record) for _, _, record, _ in store.beats]
    assert (first.id, first.api_name, first.host, first.port) == ("i1", "shop", "127.0.0.1", 8000)
    assert (first.endpoints, last.endpoints, last.port) == (["GET /a"], ["GET /a", "GET /b"], 9000)
    assert first.started_at == last.started_at <= last.last_heartbeat
    assert store.left == [("shop", "i1")]


async def test_a_store_that_is_away_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.fails = 2
    with anyio.move_on_after(INTERVAL * 3.5):
        await make(store, []).run()
    assert len(store.beats) == 2
    assert "cannot publish" in caplog.text


@pytest.mark.parametrize(("hangs", "takes"), [(True, LEAVE), (False, 0.0)])
async def test_nor_holds_up_its_end(hangs: bool, takes: float) -> None:
    store = Store()
    async with anyio.create_task_group() as group:
        group.start_soon(make(store, []).run)
        await anyio.sleep(1)
        store.hangs, store.fails = hangs, 1
        stopped_at = anyio.current_time()
        group.cancel_scope.cancel()
    assert anyio.current_time() - stopped_at == pytest.approx(takes)
    assert store.left == []
