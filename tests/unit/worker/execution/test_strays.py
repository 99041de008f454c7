"""A job's function cancels the task it runs in, as asyncio lets it: no scope asks for that."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import upnext
from tests.support.cancel import cancel_everywhere_natively
from tests.support.claimed import a_job
from tests.support.tree import running, until
from tests.support.virtual import virtual_backend
from tests.unit.worker.execution.test_executor import Stage, hook
from upnext import JobStatus, Worker
from upnext.model.job import Job
from upnext.model.outcome import Ending, Outcome, Settled

pytestmark = pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")])


def make_worker(concurrency: int = 1) -> Worker:
    return Worker("test", concurrency=concurrency)


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def strays(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if "by no scope" in one.getMessage()]


async def test_a_job_that_cancels_its_task_last_is_what_it_returned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = make_worker(concurrency=2)
    started, proceed = anyio.Event(), anyio.Event()

    @worker.task
    async def slow() -> int:
        started.set()
        await proceed.wait()
        return 2

    @worker.task
    async def rogue() -> int:
        this_task().cancel()
        return 1

    async with running(worker) as tree:
        others = await slow.submit()
        await started.wait()
        jobs = [await rogue.submit() for _ in range(3)]
        assert [await job.value() for job in jobs] == [1, 1, 1]
        proceed.set()
        assert await others.value() == 2
        await tree.stop()
        assert tree.error is None
    assert ["rogue" in said for said in strays(caplog)] == [True, True, True]
    assert all(job.job_id in said for job, said in zip(jobs, strays(caplog), strict=True))


async def test_a_cancellation_that_comes_after_the_job_ends_no_executor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = make_worker()
    tasks: list[asyncio.Task[Any]] = []

    @worker.task
    async def late() -> int:
        tasks.append(this_task())
        return this_task().cancelling()

    async with running(worker) as tree:
        job = await late.submit()
        assert await job.value() == 0
        for _ in range(2):
            await until(lambda: tree.parts.inbox.statistics().idle_executors)
            tasks[-1].cancel()
            assert (await late.wait()).value == 0
        assert len(set(tasks)) == 1
        assert len(strays(caplog)) == 2
        assert job.job_id in strays(caplog)[0]
        await tree.stop()
        assert tree.error is None


async def test_an_executor_that_ran_nothing_may_be_cancelled_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    async with anyio.create_task_group() as group:
        stage.executor.open(group)
        await anyio.wait_all_tasks_blocked()
        for task in asyncio.all_tasks():
            if task.get_name() == "executor 1":
                task.cancel()
        await until(lambda: strays(caplog))
        stage.inbox.deliver([a_job()], 0)
        stage.inbox.close()
    assert len(stage.outbox.take(10)) == 1
    stage.is_clean()


@pytest.mark.parametrize("swallows", [True, False])
async def test_a_job_that_cancels_its_task_leaves_no_request_behind(
    swallows: bool, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make_worker()

    @worker.task
    async def rogue() -> int:
        this_task().cancel()
        try:
            await checkpoint()
        except asyncio.CancelledError:
            if not swallows:
                raise
        return 1

    @worker.task
    async def look() -> int:
        return this_task().cancelling()

    async with running(worker) as tree:
        ended = await tree.end_of(await rogue.submit())
        assert ended.status is (JobStatus.COMPLETE if swallows else JobStatus.FAILED)
        assert (await look.wait()).value == 0
        assert strays(caplog) == []  # it went to the job itself
        await tree.stop()


async def test_a_job_that_has_cancelled_its_task_can_time_out() -> None:
    worker = make_worker()

    @worker.task(timeout=5)
    async def rogue() -> None:
        this_task().cancel()
        try:
            await checkpoint()
        except asyncio.CancelledError:
            await anyio.sleep_forever()

    @worker.task
    async def look() -> int:
        return this_task().cancelling()

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskTimeoutError):
            await rogue.wait()
        assert (await look.wait()).value == 0
        await tree.stop()


async def test_a_hook_that_cancels_its_task_last_harms_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = make_worker()
    said: list[int] = []

    async def rogue_start() -> None:
        this_task().cancel()

    async def rogue_success() -> None:
        await checkpoint()
        this_task().cancel()

    async def complete() -> None:
        await checkpoint()
        said.append(this_task().cancelling())

    @worker.task(on_start=rogue_start, on_success=rogue_success, on_complete=complete)
    async def work() -> int:
        await checkpoint()
        return 1

    async with running(worker) as tree:
        assert (await work.wait()).value == 1
        await until(lambda: said)
        assert said == [0]
        assert len(strays(caplog)) == 2
        await tree.stop()


async def test_a_job_is_not_over_before_those_below_it_though_its_task_is_cancelled() -> None:
    worker = make_worker(concurrency=2)
    tasks: list[asyncio.Task[Any]] = []
    started, proceed = anyio.Event(), anyio.Event()

    @worker.task
    async def child() -> None:
        started.set()
        with anyio.CancelScope(shield=True):
            await proceed.wait()

    @worker.task
    async def parent() -> None:
        tasks.append(this_task())
        await child.wait()

    async with running(worker) as tree:
        job = await parent.submit()
        await started.wait()
        await job.cancel("enough")
        await until(lambda: tree.parts.slots.statistics().lent)
        await anyio.wait_all_tasks_blocked()
        tasks[0].cancel()
        await anyio.wait_all_tasks_blocked()
        assert (await tree.record(job)).status is JobStatus.RUNNING
        proceed.set()
        assert (await tree.end_of(job)).status is JobStatus.CANCELLED
        await tree.stop()


@pytest.mark.parametrize("hooks", [{}, {"on_start": hook, "on_success": hook, "on_complete": hook}])
async def test_wherever_it_is_cancelled_by_no_scope_an_executor_goes_on(
    hooks: dict[str, Any],
) -> None:
    stage, jobs = Stage(), list[Job]()
    settled: list[Outcome] = []
    left: list[int] = []

    async def run() -> None:
        nonlocal stage, jobs
        stage, jobs = Stage(outbox_size=2, **hooks), [a_job() for _ in range(3)]
        stage.slots.connect(stage.inbox.stir, lambda lent: None)
        group.start_soon(serve, stage, jobs)
        await stage.executor._work()  # pyright: ignore[reportPrivateUsage]
        left.append(1)

    async def serve(stage: Stage, jobs: list[Job]) -> None:
        await anyio.wait_all_tasks_blocked()  # the executor waits for a job
        stage.inbox.deliver(jobs, 0)
        stage.inbox.close()
        written = 0
        while written < len(jobs):
            await stage.outbox.arrival()
            await anyio.wait_all_tasks_blocked()  # it waits for room, or for a receipt
            for outcome in stage.outbox.take(10):
                written += 1
                settled.append(outcome)
                assert stage.attempt.hooks is not None
                stage.attempt.hooks.receipts.tell(outcome.held, Settled.APPLIED)

    endings: set[Ending] = set()
    async with anyio.create_task_group() as group:
        async for _ in cancel_everywhere_natively(run):
            assert len(left) == 1
            await until(lambda: len(settled) >= len(jobs))
            assert sorted(one.held.id for one in settled) == sorted(job.id for job in jobs)
            stage.is_clean()
            endings |= {outcome.ending for outcome in settled}
            settled.clear()
            left.clear()
    assert endings == {Ending.COMPLETE, Ending.FAILED}
