"""Blocking waits leave no trail in the job that they wait for."""

from __future__ import annotations

import os
import signal

import anyio.to_thread
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


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_process_forked_by_a_sync_job_waits_by_itself(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sync jobs run in AnyIO's threads, whose event loop stays behind in the parent."""
    monkeypatch.setattr(worker, "redis_url", redis_url)

    def sync_job() -> int:
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # ends one that waits for ever
            try:
                never.wait_sync(wait_timeout=0.01)
            except TimeoutError:
                os._exit(0)
            finally:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert await anyio.to_thread.run_sync(sync_job) == 0
