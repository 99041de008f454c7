"""A worker that is stopped at any moment loses no job, no slot and no result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.support.tree import Tree, running
from upnext import Context, JobStatus, Worker
from upnext.testing.memory import MemoryStore


async def lifespan(worker: Worker) -> AsyncIterator[None]:
    await checkpoint()
    yield
    await checkpoint()


async def around(context: Context) -> AsyncIterator[None]:
    await checkpoint()
    yield
    await checkpoint()


def make_worker(runs: list[int], full: bool) -> tuple[Worker, Any]:
    worker = Worker("test", concurrency=2, lifespan=lifespan if full else None)

    async def hook() -> None:
        await checkpoint()

    hooks: dict[str, Any] = {"on_success": hook, "on_start": hook}
    if full:
        worker.middleware(around)
        hooks |= {"on_complete": hook, "on_retry": hook}

    @worker.task(retries=1, retry_delay=0, **hooks)
    async def work(n: int) -> int:
        runs.append(n)
        await checkpoint()
        if n == 3 and runs.count(3) == 1:
            raise ValueError("the first time")
        if n == 2:
            return (await work.wait(20)).value + 1
        return n

    return worker, work


async def stopped_after(steps: int, hard: bool, prefetch: int, full: bool) -> bool:
    """Whether everything was over by then."""
    store, runs = MemoryStore(), []
    worker, work = make_worker(runs, full)
    options: dict[str, Any] = {"inbox_size": prefetch, "flush_interval_ms": 0}  # no timers
    async with running(worker, store=store, grace=5, **options) as tree:
        jobs = [await work.submit(n) for n in range(5)]
        for _ in range(steps):
            await checkpoint()
        before = [(await tree.record(job)).status for job in jobs]
        await (tree.stop_now() if hard else tree.stop())
        await nothing_is_held(tree)
    # Another worker finishes what is left.
    worker, work = make_worker(runs, full)
    async with running(worker, store=store) as tree:
        for job in jobs:
            ended = await tree.end_of(job)
            assert ended.status is JobStatus.COMPLETE
            assert ended.attempt <= 2
        await tree.stop()
        await nothing_is_held(tree)
    return set(before) == {JobStatus.COMPLETE}


async def nothing_is_held(tree: Tree) -> None:
    for queue in tree.store.queues.values():
        assert queue.held() == []


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("full", [True, False], ids=["with everything around", "bare"])
async def test_nothing_is_lost(hard: bool, prefetch: int, full: bool) -> None:
    for steps in range(400):
        with anyio.fail_after(1000):
            if await stopped_after(steps, hard, prefetch, full):
                assert steps > 5
                return
    raise AssertionError("the jobs never ended")


async def test_who_drains_sets_no_deadline_to_jobs_that_are_waited_for() -> None:
    """They are for whichever worker goes on, however long this one has left."""
    worker = Worker("test", concurrency=1)
    started, draining = anyio.Event(), anyio.Event()

    @worker.task
    async def child() -> None: ...

    @worker.task
    async def parent() -> None:
        started.set()
        await draining.wait()
        await child.wait()

    async with running(worker, grace=5) as tree:
        await parent.submit()
        await started.wait()
        tree.shutdown.begin_drain()
        draining.set()
        await tree.stop()
        [waited_for] = tree.store.queues[tree.store.keys.function("child")].jobs.values()
        assert waited_for.deadline is None or waited_for.deadline > waited_for.created + 60_000
