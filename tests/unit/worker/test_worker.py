"""What a worker is, before anything runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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
    with pytest.raises(ConfigurationError, match="concurrency must be a whole number, 1 or more"):
        Worker("test", concurrency=concurrency)


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_where_sync_functions_run_may_be_a_word(kind: str) -> None:
    assert Worker("test", sync_executor=SyncExecutor(kind)).sync_executor == kind
    with pytest.raises(ConfigurationError, match="sync_executor must be 'thread' or 'process'"):
        Worker("test", sync_executor="fibre")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 5},
        {"name": b"mail"},
        {"concurrency": "8"},
        {"concurrency": 1.5},
        {"concurrency": True},
        {"concurrency": float("nan")},
        {"max_waiting": -1},
        {"max_waiting": "x"},
        {"sync_executor": []},
        {"redis_url": 6379},
        {"queue_config": {"batch_size": 5}},
        {"lifespan": 5},
        {"capture_logs": "no"},
        {"autodiscover_packages": 5},
        {"autodiscover_packages": "shop.tasks"},
    ],
    ids=repr,
)
def test_what_cannot_be_used_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))) as caught:
        Worker(**wrong)
    assert "\n" not in str(caught.value)


def test_a_url_that_is_no_text_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="redis_url must be a text") as caught:
        Worker(redis_url=b"redis://:secret@here")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


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
