"""Blocking waits leave no trail in the job that they wait for."""

from __future__ import annotations

import pytest

import upnext
from tests.support.servers import RedisServer

worker = upnext.Worker("waits")


@worker.task
async def never() -> None:
    """Nobody runs it."""


def test_waiting_again_and_again_is_remembered_once(
    redis_server: RedisServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "redis_url", redis_url)
    future = never.submit_sync()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            future.result_sync(timeout=0.01)
    with redis_server.client(decode_responses=True) as client:
        waiters = client.hget(f"upnext:{{local:never}}:job:{future.job_id}", "waiters")
    assert len(str(waiters).split()) == 1
