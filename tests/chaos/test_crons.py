"""A cron of every second on three workers that race and are killed with -9."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import upnext
from tests.support import service
from tests.support.events import read_events
from tests.support.servers import RedisServer
from tests.support.workers import STARTED, Ledger, workers
from upnext.model.identity import occurrence_id

SECONDS = float(os.environ.get("TEST_CHAOS_CRON_SECONDS", "16"))
ENVIRONMENT = {"UPNEXT_QUEUE_CLAIM_TIMEOUT_MS": "1000", "UPNEXT_QUEUE_MAX_DELIVERIES": "50"}


def occurrences(ledger: Ledger) -> dict[int, str]:
    """Instant -> the job that ran for it; what the ledger says twice must be the same job."""
    found: dict[int, str] = {}
    for line in ledger.path.read_text().splitlines():
        event, job_id, _, _, *detail = line.split()
        if event == "tick":
            assert found.setdefault(int(detail[0]), job_id) == job_id
    return found


@pytest.mark.hard_limit(120 + 2 * SECONDS)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_every_second_once_whoever_is_killed(
    start_server: Callable[..., RedisServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loop: str,
) -> None:
    server = start_server("redis")
    ledger = Ledger(tmp_path / "ledger")
    monkeypatch.setenv("UPNEXT_REDIS_URL", server.url)
    options = ("--only", "crons", "--async-backend", loop)
    with workers(server.url, ledger.path, ENVIRONMENT) as start:
        alive = [start(*options) for _ in range(3)]
        ledger.wait_for("tick")
        until, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < until:
            time.sleep(random.uniform(1.0, 2.0))  # how long it lives is what is drawn here
            victim = random.choice(alive)
            victim.kill()
            kills += 1
            alive[alive.index(victim)] = start(*options, ready=False)
        for worker in alive:
            worker.wait_for(STARTED)
        # The jobs that the killed ones held come back when their leases have run out.
        time.sleep(3.0)
        last = upnext.schedules.get_sync("every_second").last_at
        assert last is not None
        _wait_for(ledger, last // 1000)
    ran = occurrences(ledger)
    instants = sorted(instant for instant in ran if instant <= last // 1000)
    print(f"{len(instants)} seconds, {kills} kills, {instants[-1] - instants[0] + 1} expected")
    assert len(instants) > SECONDS
    assert instants == list(range(instants[0], last // 1000 + 1)), "a gap"
    for instant, job_id in ran.items():
        assert job_id == occurrence_id("every_second", "every_second", instant * 1000)
    with server.client() as client:
        events = [
            (event[b"id"].decode(), event[b"type"])
            for _, entry in read_events(client, "upnext:{local:every_second}:")
            for event in entry
        ]
    ends = Counter(job_id for job_id, kind in events if kind in (b"complete", b"failed"))
    assert ends == Counter(dict.fromkeys(ends, 1)), "a double"
    assert {ran[instant] for instant in instants} <= set(ends)


def _wait_for(ledger: Ledger, instant: int, within: float = 30.0) -> None:
    """Until the job of an instant, and of every one before it, has run."""
    until = time.monotonic() + within
    while True:
        found = occurrences(ledger)
        first = min(found)
        if set(range(first, instant + 1)) <= set(found):
            return
        assert time.monotonic() < until, set(range(first, instant + 1)) - set(found)
        time.sleep(0.05)


@pytest.mark.hard_limit(60)
def test_one_at_a_time_and_none_left_out(
    start_server: Callable[..., RedisServer], tmp_path: Path
) -> None:
    server = start_server("redis")
    ledger = Ledger(tmp_path / "ledger")
    with workers(server.url, ledger.path) as start:
        for _ in range(2):
            start("--only", "crons")
        ledger.wait_for("leave", 3)
    inside = 0
    for event, _, attempt, _ in ledger.entries():
        if event in ("enter", "leave"):
            inside += 1 if event == "enter" else -1
            assert attempt == 1
            assert 0 <= inside <= 1
    jobs = [entry[1] for entry in ledger.entries() if entry[0] == "enter"]
    times = [int(job.rpartition("-")[2][:12], 16) for job in jobs]
    assert times == list(range(times[0], times[0] + 2_000 * len(times), 2_000))
    assert service.one_by_one.definition.schedule is not None
