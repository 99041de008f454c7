"""Many submits at once over a real server: few calls, and each job once."""

from __future__ import annotations

import anyio
import pytest
import redis

from upnext.client.connect import connect
from upnext.client.declarations import TaskDeclarations

tasks = TaskDeclarations()
MANY = 200


@tasks.task
async def one(number: int) -> int:
    return number


@tasks.task
async def other(number: int) -> int:
    return number


@pytest.fixture(autouse=True)
def _server(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_url)


def calls_of(client: redis.Redis) -> int:
    return client.info("commandstats")["cmdstat_fcall"]["calls"]


async def test_tasks_that_submit_at_once_share_calls(redis_url: str) -> None:
    ids: dict[str, int] = {}

    async def submit(number: int) -> None:
        task = one if number % 2 else other
        ids[(await task.submit(number)).job_id] = number

    await one.submit(-1)  # connected, and the library is there
    with redis.Redis.from_url(redis_url) as client:
        before = calls_of(client)
        async with anyio.create_task_group() as group:
            for number in range(MANY):
                group.start_soon(submit, number)
        assert calls_of(client) - before <= MANY / 8
    store = (await connect()).store
    assert sorted(ids.values()) == list(range(MANY))
    claimed = await store.claim("w", [("one", MANY), ("other", MANY)])
    waited_for = {job.id: job.arguments for job in claimed.jobs if job.id in ids}
    assert {job_id: b'{"number":%d}' % n for job_id, n in ids.items()} == waited_for


async def test_submits_that_share_a_call_survive_a_lost_library(redis_url: str) -> None:
    await one.submit(-1)
    with redis.Redis.from_url(redis_url) as client:
        client.function_flush()
    ids: set[str] = set()

    async def submit(number: int) -> None:
        ids.add((await one.submit(number)).job_id)

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(submit, number)
    claimed = await (await connect()).store.claim("w", [("one", 100)])
    assert len(ids) == 50
    assert ids <= {job.id for job in claimed.jobs}
