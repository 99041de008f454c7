"""Workers that route events die by kill -9 while events come in.

Each handler must get each event once: five handlers in two programs, one of them by wildcard, and
never a job less or more.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis import Redis

import upnext
from tests.support.events import read_events
from tests.support.servers import RedisServer
from tests.support.workers import STARTED, Ledger, WorkerProcess, workers
from upnext.contracts.keys import GROUP, Keys
from upnext.model.identity import function_tag, handler_job_id

EVENTS = int(os.environ.get("TEST_CHAOS_EVENTS", "1000"))
HANDLERS = ("receipt", "reserve", "audit", "journal", "book keeping")
LEASE = "2000"
KEYS = Keys()


@pytest.mark.hard_limit(150)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_each_handler_gets_each_event_once_although_routers_die(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    redis_server.flush()
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_server.url)
    environment = {"UPNEXT_QUEUE_CLAIM_TIMEOUT_MS": LEASE, "UPNEXT_QUEUE_MAX_DELIVERIES": "50"}
    ledger = Ledger(tmp_path / "ledger")
    with (
        redis_server.client(decode_responses=True) as client,
        workers(redis_server.url, ledger.path, environment) as start,
    ):
        options = ("--async-backend", loop, "--only")
        alive = {name: start(*options, name) for name in ("shop", "back office")}
        anyio.run(_until_enlisted, client)
        killed: list[int] = []
        held: list[int] = []

        def kill(name: str) -> None:
            held.append(_kill_amid_routing(client, alive[name]))
            killed.append(alive[name].pid)
            alive[name] = start(*options, name, ready=False)

        sent = anyio.run(_send_and_kill, client, kill, backend=loop)
        anyio.run(_until_done, client, len(sent) * len(HANDLERS))
        for worker in alive.values():
            worker.wait_for(STARTED)
            worker.send(signal.SIGTERM)
        assert [worker.exit_code() for worker in alive.values()] == [0, 0], _outputs(alive)
        _check(client, sent, ledger, killed)
        print(f"the killed held {held} events")
        assert max(held) > 0, "no router was killed in the middle"


def _kill_amid_routing(client: Redis, worker: WorkerProcess) -> int:
    """Kill a worker, if possible while its router holds events; how many it held."""
    consumer = worker.wait_for(STARTED).split()[-1]
    held = 0
    for _ in range(200):
        worker.send(signal.SIGSTOP)  # so that it cannot go on between the look and the kill
        if held := _held(client, consumer):
            break
        worker.send(signal.SIGCONT)
        time.sleep(0.002)  # no signal tells of a moment that lasts a millisecond
    worker.kill()
    return held


def _held(client: Redis, consumer: str) -> int:
    consumers: Any = client.xinfo_consumers(KEYS.events + "sent", GROUP)
    return sum(one["pending"] for one in consumers if one["name"] == consumer)


async def _send_and_kill(client: Redis, kill: Any) -> list[str]:
    """Send all events from several tasks at once; kill a worker at each quarter of the way."""
    sent: list[str] = []
    names = iter(["shop", "back office", "shop"])
    kills = {EVENTS * quarter // 4 for quarter in (1, 2, 3)}

    async def send(numbers: range) -> None:
        for n in numbers:
            sent.append(await upnext.send_event("order.paid", n=n))
            if len(sent) in kills:
                # In the middle: what was sent is still being routed.
                await anyio.to_thread.run_sync(kill, next(names))

    async with anyio.create_task_group() as group:
        for first in range(4):
            group.start_soon(send, range(first, EVENTS, 4))
    assert next(names, None) is None
    return sent


async def _until_enlisted(client: Redis) -> None:
    with anyio.fail_after(30):
        while client.hlen(KEYS.events + "handlers") != len(HANDLERS):  # noqa: ASYNC110
            await anyio.sleep(0.05)


async def _until_done(client: Redis, jobs: int) -> None:
    with anyio.fail_after(90):
        while client.xlen(KEYS.events + "sent") or _ended(client) < jobs:  # noqa: ASYNC110
            await anyio.sleep(0.1)


def _ended(client: Redis) -> int:
    return sum(sum(_ends(client, name).values()) for name in HANDLERS)


def _ends(client: Redis, name: str) -> Counter[tuple[str, str]]:
    return Counter(
        (event[b"id"].decode(), event[b"type"].decode())
        for _, events in read_events(client, KEYS.function(name))
        for event in events
        if event[b"type"] in (b"complete", b"failed", b"cancelled", b"expired")
    )


def _check(client: Redis, sent: list[str], ledger: Ledger, killed: list[int]) -> None:
    assert len(set(sent)) == EVENTS
    starts = ledger.starts()
    for name in HANDLERS:
        wanted = {handler_job_id(function_tag(name), event_id) for event_id in sent}
        # What history says, and not what is left: none missing, none twice, none that failed.
        assert _ends(client, name) == Counter((job_id, "complete") for job_id in wanted)
        accepted = Counter(
            event[b"id"].decode()
            for _, events in read_events(client, KEYS.function(name))
            for event in events
            if event[b"type"] == b"queued" and b"arguments" in event
        )
        assert accepted == Counter(wanted)
        assert wanted <= set(starts)
    assert len(starts) == EVENTS * len(HANDLERS)
    again = {job: pids for job, pids in starts.items() if len(pids) > 1}
    assert all(set(pids[:-1]) <= set(killed) for pids in again.values())
    groups: Any = client.xinfo_groups(KEYS.events + "sent")
    assert [(group["name"], group["pending"]) for group in groups] == [(GROUP, 0)]
    assert not client.exists(KEYS.events + "unhandled")
    print(f"{EVENTS} events, {len(killed)} kills: {len(starts)} jobs, {len(again)} ran again")


def _outputs(alive: dict[str, WorkerProcess]) -> str:
    return "\n".join(worker.output for worker in alive.values())
