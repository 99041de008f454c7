"""Jobs that are submitted in a request inherit its deadline."""

from __future__ import annotations

import pytest

from tests.support.asking import asking
from upnext import Api, Worker
from upnext.client.connect import connect
from upnext.redis.pool import close_links


@pytest.mark.parametrize("way", ["async", "sync"])
async def test_a_job_inherits_what_its_request_has_left(
    redis_url: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_url)
    worker, api = Worker("w"), Api("a")

    @worker.task
    async def work() -> None: ...

    @api.post("/async")
    async def submit() -> str:
        return (await work.submit()).job_id

    @api.post("/sync")
    def submit_sync() -> str:
        return work.submit_sync().job_id

    async with asking(api) as client:
        headers = {"X-Request-Timeout": "30"}
        limited = (await client.post(f"/{way}", headers=headers)).json()
        free = (await client.post(f"/{way}")).json()
    store = (await connect(None)).store
    record = await store.watch(limited, "")
    assert record is not None
    assert record.time_left is not None
    assert 20_000 < record.time_left <= 30_000
    record = await store.watch(free, "")
    assert record is not None
    assert record.time_left is None
    await close_links()
