from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError

from upnext.worker.reporting.heartbeat import INTERVAL, RETRY_INTERVAL, TTL, UNPROVEN, Heartbeat


class Store:
    def __init__(self) -> None:
        self.declared: list[Mapping[str, bytes]] = []
        self.beats: list[tuple[float, str, bytes, int]] = []
        self.fails = self.refuses = 0
        self.known = False

    async def declare(self, definitions: Mapping[str, bytes]) -> None:
        await checkpoint()
        if self.refuses:
            self.refuses -= 1
            raise LostConnectionError("refused")
        self.declared.append(definitions)

    async def beat(self, worker: str, record: bytes, ttl: int) -> bool:
        await checkpoint()
        if self.fails:
            self.fails -= 1
            raise LostConnectionError("gone")
        known, self.known = self.known, True
        self.beats.append((anyio.current_time(), worker, record, ttl))
        return known

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
    async with anyio.create_task_group() as group:
        group.start_soon(make(store).run)
        await anyio.sleep(INTERVAL * 1.5)
        store.known, store.fails = False, 1  # the server is gone for a beat, and comes back empty
        await anyio.sleep(INTERVAL * 2)
        group.cancel_scope.cancel()
    assert len(store.declared) == 2
    assert len(store.beats) == 3


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


async def test_a_loss_is_told_but_a_start_is_none() -> None:
    store, told = Store(), list[float]()
    heartbeat = make(store)
    heartbeat.on_lost = lambda: told.append(anyio.current_time())
    async with anyio.create_task_group() as group:
        group.start_soon(heartbeat.run)
        await anyio.sleep(INTERVAL * 1.5)
        assert told == []
        store.known = False
        await anyio.sleep(INTERVAL * 2)
        group.cancel_scope.cancel()
    assert len(told) == 1


async def test_a_beat_that_was_sent_again_and_finds_itself_is_the_first_one_all_the_same() -> None:
    store, told = Store(), list[float]()
    store.known = True
    heartbeat = make(store)
    heartbeat.on_lost = lambda: told.append(anyio.current_time())
    with anyio.move_on_after(INTERVAL * 1.5):
        await heartbeat.run()
    assert store.declared == [{"work": b"{}"}]
    assert heartbeat.declared.is_set()
    assert told == []


@pytest.mark.parametrize("lost", [False, True], ids=["at the start", "after a loss"])
async def test_what_is_run_here_is_said_until_it_was_heard(lost: bool) -> None:
    store, told = Store(), list[float]()
    heartbeat = make(store)
    heartbeat.on_lost = lambda: told.append(anyio.current_time())
    async with anyio.create_task_group() as group:
        if lost:
            group.start_soon(heartbeat.run)
            await anyio.sleep(INTERVAL * 0.5)
            store.known = False
        store.refuses = 2
        if not lost:
            group.start_soon(heartbeat.run)
            await anyio.sleep(RETRY_INTERVAL * 1.5)
            assert not heartbeat.declared.is_set()
        await anyio.sleep(INTERVAL * 0.9)
        group.cancel_scope.cancel()
    assert store.refuses == 0
    assert heartbeat.declared.is_set()
    assert len(store.declared) == (2 if lost else 1)
    assert len(told) == (1 if lost else 0)
