from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError

from upnext.worker.reporting.heartbeat import INTERVAL, TTL, UNPROVEN, Heartbeat


class Store:
    def __init__(self) -> None:
        self.declared: list[Mapping[str, bytes]] = []
        self.beats: list[tuple[float, str, bytes, int]] = []
        self.fails = 0

    async def declare(self, definitions: Mapping[str, bytes]) -> None:
        await checkpoint()
        self.declared.append(definitions)

    async def beat(self, worker: str, record: bytes, ttl: int) -> None:
        await checkpoint()
        if self.fails:
            self.fails -= 1
            raise LostConnectionError("gone")
        self.beats.append((anyio.current_time(), worker, record, ttl))

    async def retire(self, worker: str, functions: Sequence[str]) -> int:
        raise NotImplementedError


def make(store: Store, proven_at: float | None = None) -> Heartbeat:
    def claimed_at() -> float:
        return anyio.current_time() if proven_at is None else proven_at

    return Heartbeat(store, "w.1", "w", 4, {"work": b"{}"}, lambda: 3, lambda: 17, claimed_at)


async def test_it_declares_once_and_beats_more_often_than_its_record_expires() -> None:
    store = Store()
    with anyio.move_on_after(INTERVAL * 3.5):
        await make(store).run()
    assert store.declared == [{"work": b"{}"}]
    assert len(store.beats) == 4
    assert {ttl for _, _, _, ttl in store.beats} == {TTL}
    assert INTERVAL * 1000 * 2 < TTL
    record = orjson.loads(store.beats[0][2])
    assert (record["id"], record["worker_name"]) == ("w.1", "w")
    assert (record["concurrency"], record["active_jobs"], record["jobs_processed"]) == (4, 3, 17)
    assert (record["functions"], record["healthy"]) == (["work"], True)


async def test_after_a_loss_it_declares_again() -> None:
    store = Store()
    store.fails = 2
    with anyio.move_on_after(INTERVAL * 2.5):
        await make(store).run()
    assert len(store.declared) == 3
    assert len(store.beats) == 1


async def test_a_worker_that_cannot_claim_does_not_look_healthy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store()
    with anyio.move_on_after(UNPROVEN + 2 * INTERVAL):
        await make(store, proven_at=anyio.current_time()).run()
    healthy = [orjson.loads(record)["healthy"] for _, _, record, _ in store.beats]
    assert healthy[:3] == [True] * 3
    assert healthy[-1] is False
    assert "unhealthy" in caplog.text
