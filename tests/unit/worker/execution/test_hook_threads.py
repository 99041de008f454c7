"""Sync hooks, in threads and so in real time."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.from_thread
import pytest

from tests.support.tree import running
from upnext import JobStatus, Worker, get_current_context


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_sync_hooks_run_in_threads_and_see_the_job() -> None:
    worker = make_worker()
    seen: list[Any] = []
    done = anyio.Event()

    def note() -> None:
        seen.append((threading.current_thread(), get_current_context().job_id))

    async def on_complete() -> None:
        done.set()

    @worker.task(on_start=note, on_success=note, on_complete=on_complete)
    async def work() -> None: ...

    async with running(worker) as tree:
        job = await work.submit()
        await done.wait()
        assert [job_id for _, job_id in seen] == [job.job_id, job.job_id]
        assert threading.main_thread() not in [thread for thread, _ in seen]
        await tree.stop()


async def test_a_sync_hook_that_blocks_is_left_behind_by_a_hard_stop() -> None:
    worker = make_worker()
    started, release = anyio.Event(), threading.Event()

    def block() -> None:
        anyio.from_thread.run_sync(started.set)
        release.wait(20)

    @worker.task(on_success=block)
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        await tree.stop_now()
        assert not release.is_set()
        assert (await tree.record(job)).status is JobStatus.COMPLETE
        release.set()
