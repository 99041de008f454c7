"""What a worker is, before anything runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from upnext import ConfigurationError, SyncExecutor, Worker, WorkerQueueConfig


def test_the_defaults_are_those_that_users_know() -> None:
    worker, other = Worker(), Worker()
    assert re.fullmatch(r"worker-[0-9a-f]{8}", worker.name)
    assert worker.name != other.name
    assert (worker.concurrency, worker.sync_executor) == (2, SyncExecutor.THREAD)
    assert worker.queue_config == WorkerQueueConfig()
    assert worker.redis_url is None
    assert (worker.tasks, worker.crons, worker.events) == ({}, [], {})


@pytest.mark.parametrize("name", ["", "  "])
def test_a_name_is_not_empty(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name must not be empty"):
        Worker(name)


@pytest.mark.parametrize("concurrency", [0, -1])
def test_at_least_one_job_runs_at_a_time(concurrency: int) -> None:
    with pytest.raises(ConfigurationError, match="concurrency must be 1 or more"):
        Worker("test", concurrency=concurrency)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_where_sync_functions_run_may_be_a_word(kind: str) -> None:
    assert Worker("test", sync_executor=SyncExecutor(kind)).sync_executor == kind
    with pytest.raises(ValueError, match="fibre"):
        Worker("test", sync_executor="fibre")  # type: ignore[arg-type]


def test_handles_are_found_by_name_and_pattern() -> None:
    worker = Worker("test")
    add = worker.task(name="add")(lambda: None)
    tick = worker.cron("@hourly", name="tick")(lambda: None)
    paid = worker.event("order.paid")
    assert worker.tasks == {"add": add}
    assert worker.crons == [tick]
    assert worker.events == {"order.paid": paid}


def test_its_own_broker_wins_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.delenv("UPNEXT_REDIS_URL", raising=False)
    assert Worker("test").resolved_redis_url is None
    monkeypatch.setenv("UPNEXT_REDIS_URL", "redis://environment")
    assert Worker("test").resolved_redis_url == "redis://environment"
    assert Worker("test", redis_url="redis://own").resolved_redis_url == "redis://own"
