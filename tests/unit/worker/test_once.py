"""Jobs run once, whatever happens between a claim and its settlement short of a dead worker."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from tests.support.tree import running, until
from upnext import JobStatus, Worker
from upnext.settings import QueueSettings
from upnext.testing.memory import MemoryStore
from upnext.worker.compose import compose_worker
from upnext.worker.shutdown import Shutdown
from upnext.worker.supervisor import run_worker

LEASE = 3_000


def make_worker(runs: Counter[int], seconds: float) -> tuple[Worker, Any]:
    worker = Worker("test", concurrency=1)

    @worker.task
    async def work(n: int) -> int:
        runs[n] += 1
        await anyio.sleep(seconds)
        return n

    return worker, work


async def test_jobs_that_wait_in_an_inbox_for_many_leases_run_once() -> None:
    store, runs = MemoryStore(), Counter[int]()
    one, work = make_worker(runs, seconds=10)
    other, _ = make_worker(runs, seconds=10)
    options = {"inbox_size": 4, "claim_timeout_ms": LEASE}
    async with running(one, store=store, **options) as tree:
        jobs = [await work.submit(n) for n in range(5)]
        await until(lambda: runs and tree.parts.inbox.statistics().queued >= 3)
        async with running(other, store=store, **options) as rescuer:
            for job in jobs:
                ended = await tree.end_of(job)
                assert (ended.status, ended.attempt) == (JobStatus.COMPLETE, 1)
            await rescuer.stop()
        await tree.stop()
    assert runs == dict.fromkeys(range(5), 1)


@pytest.mark.parametrize("applied", [True, False], ids=["the answer is lost", "the call is lost"])
async def test_a_completed_job_is_not_run_again_after_a_lost_connection(applied: bool) -> None:
    store, runs, lost = MemoryStore(), Counter[int](), []
    worker, work = make_worker(runs, seconds=0.1)
    settle = store.settle

    async def fail_every_second_time(*args: Any) -> Any:
        if len(lost) % 2 == 0:
            lost.append(args)
            if applied:
                await settle(*args)
            raise LostConnectionError("gone")
        lost.append(args)
        return await settle(*args)

    store.settle = fail_every_second_time  # type: ignore[method-assign]
    async with running(worker, store=store, inbox_size=4, claim_timeout_ms=LEASE) as tree:
        jobs = [await work.submit(n) for n in range(6)]
        for job in jobs:
            assert (await tree.end_of(job)).status is JobStatus.COMPLETE
        await anyio.sleep(10 * LEASE / 1000)
        await tree.stop()
    assert len(lost) >= 2
    assert runs == dict.fromkeys(range(6), 1)


async def test_a_worker_cancelled_from_outside_ends_cancelled_and_loses_no_job() -> None:
    store, runs = MemoryStore(), Counter[int]()
    worker, work = make_worker(runs, seconds=60)
    queue = QueueSettings(claim_timeout_ms=LEASE, inbox_size=2)
    parts = compose_worker(
        worker, store=store, keys=store.keys, queue=queue, open_blocking_store=None
    )
    before = set(anyio.get_running_tasks())

    async def never(names: list[str]) -> None:
        raise AssertionError(names)

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            await group.start(run_worker, parts, Shutdown(30), never)
            async with running(Worker("client"), store=store) as tree:
                jobs = [await work.submit(n) for n in range(4)]
                await until(lambda: runs[0])
                await tree.stop()
            scope.cancel()
    assert scope.cancelled_caught
    assert set(anyio.get_running_tasks()) == before
    assert runs == {0: 1}
    again, _ = make_worker(runs, seconds=0)
    async with running(again, store=store, claim_timeout_ms=LEASE) as tree:
        for job in jobs:
            assert (await tree.end_of(job)).status is JobStatus.COMPLETE
        await tree.stop()


async def test_a_start_that_fails_leaves_nothing_running() -> None:
    store = MemoryStore()
    worker, _ = make_worker(Counter(), seconds=0)

    async def refuse(definitions: Any) -> None:
        raise ZeroDivisionError("it cannot be declared")

    store.declare = refuse  # type: ignore[method-assign]
    parts = compose_worker(
        worker, store=store, keys=store.keys, queue=QueueSettings(), open_blocking_store=None
    )
    before = set(anyio.get_running_tasks())

    async def never(names: list[str]) -> None:
        raise AssertionError(names)

    with pytest.raises(ExceptionGroup) as caught:
        await run_worker(parts, Shutdown(30), never)
    assert caught.value.subgroup(ZeroDivisionError)
    assert set(anyio.get_running_tasks()) == before
