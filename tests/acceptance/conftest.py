"""Real worker processes on a real server, and a client beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import service
from tests.support.command import APP
from tests.support.jobs import Queue
from tests.support.servers import RedisServer
from tests.support.workers import Ledger, WorkerProcess, workers

LEASE = {"UPNEXT_QUEUE_CLAIM_TIMEOUT_MS": "1500"}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def server_url(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty server that tasks of the test service submit to from this process, too."""
    redis_server.flush()
    monkeypatch.setattr(service.worker, "redis_url", redis_server.url)
    monkeypatch.setattr(service.processes, "redis_url", redis_server.url)
    return redis_server.url


@pytest.fixture
def start_worker(server_url: str, ledger: Ledger) -> Iterator[Callable[..., WorkerProcess]]:
    """Start a worker process with `start_worker("--only", "service")`; its lease is 1.5 s."""
    with workers(server_url, ledger.path, LEASE) as start:
        yield start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with the small program `app.py`."""
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    made = Queue(redis_url)
    yield made
    made.client.close()
