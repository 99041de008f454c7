"""Groups inside jobs, in a whole worker."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import upnext
from tests.support.tree import running, until
from upnext import JobStatus, Worker


async def test_a_job_with_one_slot_waits_for_its_group() -> None:
    worker = Worker("test", concurrency=1)

    @worker.task
    async def leaf(n: int) -> int:
        return n

    @worker.task
    async def parent() -> int:
        async with upnext.group() as g:
            futures = [await g.submit(leaf, n) for n in range(4)]
        return sum([await future.value() for future in futures])

    async with running(worker) as tree:
        assert (await parent.wait()).value == 6
        await tree.stop()


async def test_a_slot_is_not_lent_while_the_block_works() -> None:
    worker = Worker("test", concurrency=2)
    most: list[int] = []

    @worker.task
    async def leaf() -> None:
        await anyio.sleep(1)

    @worker.task
    async def parent() -> None:
        async with upnext.group(max_concurrency=5) as g:
            for _ in range(5):
                await g.submit(leaf)
            for _ in range(9):
                await anyio.sleep(0.1)
                most.append(worker_tree.parts.slots.statistics().lent)

    async with running(worker) as worker_tree:
        await parent.wait()
        assert max(most) == 0
        await worker_tree.stop()


async def test_room_is_waited_for_without_a_slot() -> None:
    worker = Worker("test", concurrency=1)

    @worker.task
    async def leaf(n: int) -> int:
        return n

    @worker.task
    async def parent() -> int:
        async with upnext.group(max_concurrency=1) as g:
            return sum([await (await g.submit(leaf, n)).value() for n in range(3)])

    async with running(worker) as tree:
        assert (await parent.wait()).value == 3
        await tree.stop()


async def test_a_failure_cancels_siblings_and_all_below_them() -> None:
    worker = Worker("test", concurrency=10)
    started: list[str] = []
    jobs: list[Any] = []

    @worker.task
    async def sleeper() -> None:
        started.append("deep")
        await anyio.sleep_forever()

    @worker.task
    async def nested() -> None:
        async with upnext.group() as g:
            jobs.append(await g.submit(sleeper))

    @worker.task
    async def loose() -> None:
        jobs.append(await sleeper.submit())
        await anyio.sleep_forever()

    @worker.task
    async def breaks() -> None:
        await until(lambda: len(started) == 2)
        raise ValueError("no luck")

    @worker.task
    async def parent() -> None:
        async with upnext.group() as g:
            jobs.append(await g.submit(nested))
            jobs.append(await g.submit(loose))
            await g.submit(breaks)

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskExecutionError, match="1 error in a group") as caught:
            await parent.wait()
        assert caught.value.error_type == "ExceptionGroup"
        assert "no luck" in (caught.value.traceback or "")
        for job in jobs:
            assert (await tree.record(job)).status is JobStatus.CANCELLED
        assert len(jobs) == 4
        await tree.stop()


async def test_a_cancelled_job_takes_its_groups_along() -> None:
    worker = Worker("test", concurrency=4)
    started: list[Any] = []

    @worker.task
    async def leaf() -> None:
        started.append(upnext.get_current_context().job_id)
        await anyio.sleep_forever()

    @worker.task
    async def parent() -> None:
        async with upnext.group() as g:
            for _ in range(3):
                await g.submit(leaf)

    async with running(worker) as tree:
        top = await parent.submit()
        await until(lambda: len(started) == 3)
        await top.cancel("enough")
        assert (await tree.end_of(top)).reason == "enough"
        for job_id in started:
            record = await tree.record(job_id)
            assert (record.status, record.reason) == (JobStatus.CANCELLED, "enough")
        await tree.stop()


async def test_a_timeout_of_the_job_cancels_its_group() -> None:
    worker = Worker("test", concurrency=2)
    children: list[Any] = []

    @worker.task(timeout=None)
    async def leaf() -> None:
        await anyio.sleep_forever()

    @worker.task(timeout=5)
    async def parent() -> None:
        async with upnext.group() as g:
            children.append(await g.submit(leaf))

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskTimeoutError):
            await parent.wait()
        ended = await tree.end_of(children[0])
        assert ended.status in (JobStatus.CANCELLED, JobStatus.EXPIRED)
        await tree.stop()


async def test_a_hard_stop_cancels_the_group_and_hands_the_job_back() -> None:
    worker = Worker("test", concurrency=2)
    children: list[Any] = []

    @worker.task
    async def leaf() -> None:
        await anyio.sleep_forever()

    @worker.task
    async def parent() -> None:
        async with upnext.group() as g:
            children.append(await g.submit(leaf))

    async with running(worker) as tree:
        top = await parent.submit()
        await until(lambda: children and tree.parts.running.statistics().running == 2)
        await tree.stop_now()
        assert tree.stuck == []
        assert (await tree.record(top)).status is JobStatus.QUEUED
        assert (await tree.record(children[0])).status is not JobStatus.RUNNING
