"""The stages of a whole worker together."""

from __future__ import annotations

from typing import Any

import anyio
import orjson

import upnext
from tests.support.tree import running, until
from upnext import JobStatus, Worker
from upnext.worker.reporting.heartbeat import INTERVAL


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


async def test_a_running_job_is_cancelled_by_its_user() -> None:
    worker = make_worker()
    started = anyio.Event()

    @worker.task(retries=5)
    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    async with running(worker) as tree:
        job = await endless.submit()
        await started.wait()
        began = anyio.current_time()
        assert await job.cancel("enough")
        ended = await tree.end_of(job)
        assert (ended.status, ended.reason) == (JobStatus.CANCELLED, "enough")
        assert anyio.current_time() - began < 0.1  # by the message, not by a renewal
        await tree.stop()


async def test_a_claimed_job_that_has_not_started_is_cancelled_by_its_user() -> None:
    worker = make_worker(concurrency=1)
    started, proceed, runs = anyio.Event(), anyio.Event(), []

    @worker.task
    async def work(name: str) -> None:
        runs.append(name)
        started.set()
        await proceed.wait()

    async with running(worker, inbox_size=5) as tree:
        await work.submit("first")
        await started.wait()
        second = await work.submit("second")
        await until(lambda: tree.parts.inbox.statistics().queued)
        assert await second.cancel("changed my mind")
        ended = await tree.end_of(second)
        assert (ended.status, ended.reason) == (JobStatus.CANCELLED, "changed my mind")
        proceed.set()
        await tree.stop()
        assert runs == ["first"]


async def test_a_lost_lease_cancels_the_job_and_settles_nothing() -> None:
    worker = make_worker()
    cancelled, settled = anyio.Event(), []

    @worker.task
    async def endless() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with running(worker) as tree:
        settle = tree.store.settle

        async def spy(worker_id: str, outcomes: Any) -> Any:
            settled.extend(outcomes)
            return await settle(worker_id, outcomes)

        tree.store.settle = spy
        job = await endless.submit()
        await until(lambda: tree.parts.running.names())
        (queue,) = tree.store.queues.values()
        queue.jobs[job.job_id].worker = "somebody else"
        await cancelled.wait()
        await tree.stop()
        assert settled == []


async def test_a_tree_of_jobs_deeper_than_the_concurrency_completes() -> None:
    worker = make_worker(concurrency=1)

    @worker.task
    async def node(depth: int) -> int:
        if depth == 0:
            return 1
        return 1 + (await node.wait(depth - 1)).value

    async with running(worker) as tree:
        assert (await node.wait(4)).value == 5
        await tree.stop()


async def test_a_job_that_waits_for_many_others_at_once_completes() -> None:
    worker = make_worker(concurrency=1)

    @worker.task
    async def node(depth: int) -> int:
        if depth == 0:
            return 1
        return sum(await upnext.gather(*[node.submit(depth - 1) for _ in range(3)]))

    async with running(worker) as tree:
        job = await node.submit(0)
        assert await job.value() == 1
        await tree.stop()


async def test_waits_that_were_given_up_do_not_wear_the_worker_out() -> None:
    worker = make_worker(concurrency=1)

    @worker.task
    async def slow(n: float) -> None:
        await anyio.sleep(n)

    @worker.task
    async def node(depth: int) -> int:
        return 1 + (await node.wait(depth - 1)).value if depth else 1

    @worker.task
    async def impatient() -> int:
        for _ in range(5):
            with anyio.move_on_after(1):
                await (await slow.submit(3)).value()
            await anyio.sleep(0.1)
        return (await node.wait(3)).value

    async with running(worker) as tree:
        assert (await impatient.wait()).value == 4
        await tree.stop()


async def test_executors_that_wait_for_room_in_the_outbox_all_go_on() -> None:
    worker = make_worker(concurrency=8)

    @worker.task
    async def work(n: int) -> int:
        return n

    async with running(worker, outbox_size=1) as tree:
        jobs = [await work.submit(n) for n in range(100)]
        for job in jobs:
            assert (await tree.end_of(job)).status is JobStatus.COMPLETE
        await tree.stop()


async def test_work_for_many_functions_is_done() -> None:
    worker = make_worker(concurrency=3)
    tasks = []
    for i in range(10):

        @worker.task(name=f"work{i}")
        async def work(n: int) -> int:
            return n

        tasks.append(work)

    async with running(worker) as tree:
        jobs = [await task.submit(n) for n in range(5) for task in tasks]
        for job in jobs:
            assert (await tree.end_of(job)).status is JobStatus.COMPLETE
        await tree.stop()


async def test_a_wait_lasts_as_long_as_the_job_stands_in_the_queue() -> None:
    worker = make_worker(concurrency=1)

    @worker.task(timeout=5)
    async def work() -> str:
        await anyio.sleep(4)
        return "done"

    async with running(worker) as tree:
        for _ in range(5):
            await work.submit()
        began = anyio.current_time()
        assert (await work.wait()).value == "done"  # the timeout is that of its own attempt
        assert anyio.current_time() - began > 20
        await tree.stop()


async def test_a_busy_worker_stays_healthy() -> None:
    worker = make_worker(concurrency=1)

    @worker.task
    async def long() -> None:
        await anyio.sleep(600)

    async with running(worker) as tree:
        job = await long.submit()
        await anyio.sleep(300)
        (record,) = tree.store.workers().values()
        assert orjson.loads(record)["healthy"] is True
        assert orjson.loads(record)["active_jobs"] == 1
        await tree.end_of(job)
        await anyio.sleep(60)
        (record,) = tree.store.workers().values()
        assert orjson.loads(record)["healthy"] is True
        await tree.stop()


async def test_a_worker_without_tasks_idles_and_stops() -> None:
    async with running(make_worker()) as tree:
        await anyio.sleep(100)
        assert tree.error is None
        await tree.stop()


async def test_after_a_loss_of_data_the_worker_says_again_what_it_waits_for() -> None:
    """Not only in its sweeps, which look at a few functions at a time."""
    worker = make_worker()

    async def work() -> float:
        return anyio.current_time()

    tasks = [worker.task(work, name=f"work{n}") for n in range(200)]
    async with running(worker) as tree:
        await anyio.sleep(1)
        for queue in tree.store.queues.values():
            while queue.pop_hungry() is not None:
                pass
        tree.store._beats.clear()
        await anyio.sleep(INTERVAL)
        began = anyio.current_time()
        for task in tasks[-20:]:
            assert (await task.wait()).value - began < 1
        await tree.stop()
