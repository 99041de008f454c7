"""A service says by a file that it works, and `upnext health --file` reads it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskStatus

import upnext
from tests.support.command import error_of
from tests.support.command import upnext as command
from tests.support.workers import WorkerProcess, workers
from upnext.service.surroundings import Surroundings
from upnext.service.working import work
from upnext.settings import Settings
from upnext.worker.shutdown import Shutdown

WEB = Path(__file__).parents[1] / "support" / "web.py"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "alive"


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_it_is_there_for_as_long_as_the_service(
    redis_url: str, file: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    env = {"UPNEXT_HEALTH_FILE": str(file)}
    health = partial(command, "health", "--file", cwd=tmp_path, **env)
    gone = partial(error_of, "health", "--file", cwd=tmp_path, code=1, **env)
    assert gone().startswith(f"{file} is not there: no service runs here")
    with workers(redis_url, tmp_path / "ledger", program=WEB, env=env) as begin:
        service: WorkerProcess = begin(*options)
        until(file.exists)
        assert health().stdout.startswith(f"Alive: {file} was touched ")
        told = json.loads(health("--json").stdout)
        assert (told["healthy"], told["file"]) == (True, str(file))
        service.send(signal.SIGTERM)
        assert service.exit_code() == 0, service.output
    assert not file.exists()
    assert json.loads(health("--json", code=1).stdout)["seconds_since_touch"] is None


def test_it_asks_no_broker(file: Path, tmp_path: Path) -> None:
    file.touch()
    env = {"UPNEXT_HEALTH_FILE": str(file)}
    nowhere = "redis://127.0.0.1:1/0"
    command("health", "--file", cwd=tmp_path, UPNEXT_REDIS_URL=nowhere, **env)
    os.utime(file, (1, time.time() - 100))
    stale = error_of("health", "--file", cwd=tmp_path, code=1, **env)
    assert stale.startswith(f"{file} was touched 10")
    assert "a worker cannot claim" in stale
    refused = ("health", "--file", "--redis-url", nowhere)
    assert "leave --redis-url out" in error_of(*refused, cwd=tmp_path, code=2, **env)


async def test_a_worker_gives_the_proof_that_its_heartbeat_tells(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, proofs = upnext.Worker("shop"), list[Callable[[], bool]]()
    worker.task(name="add")(lambda: None)
    around, shutdown = Surroundings(Settings.load({}), redis_url), Shutdown(5.0)

    async def run(*, task_status: TaskStatus[None]) -> None:
        assert await work(worker, around, shutdown, proofs, task_status)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await group.start(run)
            [can_claim] = proofs
            assert can_claim()
            monkeypatch.setattr("upnext.worker.reporting.heartbeat.UNPROVEN", -1.0)
            assert not can_claim()
            shutdown.begin_drain()
