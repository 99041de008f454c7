"""A queue that keeps jobs and runs none."""

from __future__ import annotations

import threading
from contextlib import suppress

import anyio
import anyio.to_thread
import pytest

import upnext
from upnext import JobStatus, Worker
from upnext.testing import fake_queue, run_worker

worker = Worker("fake", redis_url="redis://127.0.0.1:1")


@worker.task
async def work(n: int = 0) -> int:
    return n


async def test_async_submits_are_kept() -> None:
    with fake_queue() as queue:
        future = await work.submit(1)
        assert await future.status() is JobStatus.QUEUED
        await upnext.submit_many(work, [(2,), (3,)])
        assert [job.kwargs["n"] for job in queue.enqueued(work)] == [1, 2, 3]
        assert await future.cancel("no") is True
        queue.assert_cancelled(work, args=(1,), reason="no")


async def test_nobody_waits_for_what_nobody_runs() -> None:
    with fake_queue():
        future = await work.submit()
        with anyio.fail_after(5):
            for wait in (future.result, work.wait):
                with pytest.raises(RuntimeError, match="nothing runs the job"):
                    await wait()
        with pytest.raises(RuntimeError, match="nothing runs"):
            work.wait_sync()
        with pytest.raises(RuntimeError, match="nothing runs"):
            await anyio.to_thread.run_sync(future.value_sync)


def test_every_thread_and_loop_submits_to_it() -> None:
    with fake_queue() as queue:
        threads = [threading.Thread(target=work.submit_sync, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        anyio.run(work.submit, 8)
        anyio.run(work.submit, 9, backend="trio")
        anyio.run(anyio.to_thread.run_sync, work.submit_sync, 10)
        assert sorted(job.kwargs["n"] for job in queue.enqueued()) == list(range(11))


def test_keys_are_honoured() -> None:
    with fake_queue() as queue:
        first = work.submit_idempotent_sync("k", 1)
        assert work.submit_idempotent_sync("k", 2).job_id == first.job_id
        queue.assert_enqueued(work, count=1)


def test_blocks_nest_and_are_undone() -> None:
    with fake_queue() as outer:
        work.submit_sync(1)
        with suppress(ValueError), fake_queue() as inner:
            work.submit_sync(2)
            inner.assert_enqueued(work, args=(2,), count=1)
            raise ValueError("mine")
        work.submit_sync(3)
        assert [job.kwargs["n"] for job in outer.enqueued()] == [1, 3]


async def test_the_innermost_block_counts_whatever_its_kind() -> None:
    async with run_worker(worker) as harness:
        with fake_queue() as queue:
            await work.submit(1)
            queue.assert_enqueued(work, count=1)
            harness.refute_enqueued(work)
        assert (await work.wait(2)).value == 2
    with fake_queue() as queue:
        async with run_worker(worker):
            assert (await work.wait(3)).value == 3
        queue.refute_enqueued()


async def test_a_context_that_outlives_the_block_does_not_keep_it() -> None:
    submitted = anyio.Event()
    kept = []

    async def later() -> None:
        await submitted.wait()
        with fake_queue() as queue:
            await anyio.lowlevel.checkpoint()
        with fake_queue() as queue:
            await work.submit(5)
            kept.extend(queue.enqueued())

    async with anyio.create_task_group() as group:
        with fake_queue() as queue:
            group.start_soon(later)  # copies the context
            await anyio.wait_all_tasks_blocked()
        submitted.set()
    assert [job.kwargs["n"] for job in kept] == [5]
    queue.refute_enqueued()
