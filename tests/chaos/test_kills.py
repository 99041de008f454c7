"""Workers die by kill -9 and the server restarts, while 20,000 jobs run.

Every job must end once. A job that started twice must have an explanation: the process that
started it first was killed, or the server was away.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis import Redis

import upnext
from tests.support import service
from tests.support.events import read_events
from tests.support.servers import RedisServer
from tests.support.workers import STARTED, Ledger, WorkerProcess, workers
from upnext.worker.settlement.flusher import MOST_PER_WRITE

JOBS = int(os.environ.get("TEST_CHAOS_JOBS", "20000"))
CONCURRENCY = 16
ENVIRONMENT = {
    "TEST_CONCURRENCY": str(CONCURRENCY),
    "UPNEXT_QUEUE_CLAIM_TIMEOUT_MS": "2000",
    "UPNEXT_STATUS_STREAM_MAX_LEN": str(20 * JOBS),
    "UPNEXT_QUEUE_MAX_DELIVERIES": "50",
}
TERMINAL = {"complete", "failed", "cancelled", "expired"}


@pytest.mark.hard_limit(300)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_every_job_ends_once_whatever_dies(
    start_server: Callable[..., RedisServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loop: str,
) -> None:
    server = start_server("redis", append_only=True)
    ledger = Ledger(tmp_path / "ledger")
    monkeypatch.setattr(service.worker, "redis_url", server.url)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    accepted = anyio.run(_submit, JOBS, backend=loop)
    with workers(server.url, ledger.path, ENVIRONMENT) as start:
        options = ("--only", "service", "--async-backend", loop)
        alive = [start(*options) for _ in range(3)]
        killed = _kill_until_done(server, alive, lambda: start(*options, ready=False))
        for worker in alive:
            worker.wait_for(STARTED)
            worker.send(signal.SIGTERM)
        assert [worker.exit_code() for worker in alive] == [0, 0, 0]
    with server.client(decode_responses=True) as client:
        _check(client, accepted, ledger, killed)


async def _submit(count: int) -> set[str]:
    futures = await upnext.submit_many(service.work, [{"n": n} for n in range(count)])
    return {future.job_id for future in futures}


def _kill_until_done(
    server: RedisServer, alive: list[WorkerProcess], start: Callable[[], WorkerProcess]
) -> list[int]:
    """Kill one worker a second; restart the server once, when a third of the jobs is done."""
    killed: list[int] = []
    restarted = False
    chance = random.Random(0)
    with anyio.from_thread.start_blocking_portal() as portal:
        while (left := _left(server)) > 0:
            if not restarted and left < JOBS * 2 / 3:
                server.restart()
                restarted = True
            portal.call(anyio.sleep, 1.0)
            victim = chance.randrange(len(alive))
            alive[victim].kill()
            killed.append(alive[victim].pid)
            alive[victim] = start()
    assert restarted
    return killed


def _left(server: RedisServer) -> int:
    with server.client(decode_responses=True) as client:
        lanes = client.scan_iter("upnext:{local:work}:lane:*")
        kept_apart: Any = client.zcard("upnext:{local:work}:scheduled")  # lost twice together
        return kept_apart + sum(int(client.xlen(lane)) for lane in lanes)  # pyright: ignore[reportArgumentType]


def _check(client: Redis, accepted: set[str], ledger: Ledger, killed: list[int]) -> None:
    prefix = "upnext:{local:work}:"
    statuses = {job: client.hget(f"{prefix}job:{job}", "status") for job in accepted}
    assert Counter(statuses.values()) == {"complete": JOBS}  # nothing lost, nothing failed
    ends: Counter[str] = Counter()
    for _, events in read_events(client, prefix):
        for event in events:
            if event[b"type"].decode() in TERMINAL:
                ends[event[b"id"].decode()] += 1
    assert ends == Counter(dict.fromkeys(accepted, 1))
    starts = ledger.starts()
    assert set(starts) == accepted
    again = {job: pids for job, pids in starts.items() if len(pids) > 1}
    unexplained = {job: pids for job, pids in again.items() if not set(pids[:-1]) <= set(killed)}
    assert not unexplained
    extra = sum(len(pids) - 1 for pids in again.values())
    print(f"{JOBS} jobs, {len(killed)} kills, one restart: {extra} ran again")
    assert extra <= len(killed) * (CONCURRENCY + MOST_PER_WRITE)
    # Nothing is owed, and no consumer of a dead worker owes anything either.
    for lane in client.scan_iter(f"{prefix}lane:*"):
        groups: Any = client.xinfo_groups(lane)
        assert [group["pending"] for group in groups] == [0]
