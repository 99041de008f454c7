"""The same without virtual time: nothing of the test's event loop is special."""

from __future__ import annotations

from datetime import timedelta

import anyio
import anyio.to_thread
import pytest

import upnext
from upnext import JobStatus, MissedRunPolicy, Overlap, TaskExecutionError, get_current_context
from upnext.model.cron import CronPlan
from upnext.model.schedule import ScheduleAction, ScheduleOrder
from upnext.testing import Harness, run_worker

DAY = 86_400.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_drain_puts_the_queues_clock_forward(worker) -> None:
    runs = []

    @worker.task(retries=3, retry_delay=timedelta(days=1), retry_backoff=1)
    async def flaky() -> None:
        runs.append(get_current_context().started_at)
        raise ConnectionError("down")

    async with run_worker(worker) as harness:
        began, now = anyio.current_time(), harness.now()
        future = await flaky.submit()
        await flaky.options(delay=timedelta(days=30)).submit()
        await harness.drain(scheduled=True)
        harness.assert_failed(flaky, count=2, error=ConnectionError)
        assert harness.now() - now >= timedelta(days=33)
        days = [(run - runs[0]) / DAY for run in runs]
        assert days == pytest.approx([0, 1, 2, 3, 30, 31, 32, 33], abs=1e-3)
        with pytest.raises(TaskExecutionError):
            await future.result()
        assert anyio.current_time() - began < DAY


async def test_a_deadline_counts_on_the_queues_clock(worker) -> None:
    @worker.task
    async def work() -> None: ...

    async with run_worker(worker) as harness:
        await work.options(delay=60, deadline=30).submit()
        await work.options(delay=60, deadline=90).submit()
        await harness.drain(scheduled=True)
        assert [job.status for job in harness.enqueued()] == [
            JobStatus.EXPIRED,
            JobStatus.COMPLETE,
        ]


async def test_drain_gives_up(worker) -> None:
    @worker.task
    async def endless() -> None:
        await anyio.sleep_forever()

    async with run_worker(worker) as harness:
        await endless.submit()
        with pytest.raises(TimeoutError, match=r"endless\(\)"):
            await harness.drain(timeout=0.05)


async def test_many_jobs(worker) -> None:
    @worker.task
    async def double(n: int) -> int:
        return 2 * n

    async with run_worker(worker) as harness:
        assert isinstance(harness, Harness)
        await upnext.submit_many(double, [(n,) for n in range(300)])
        await harness.drain()
        assert [job.result for job in harness.enqueued(double)] == [2 * n for n in range(300)]
        harness.assert_all_completed()


async def test_a_drain_puts_the_clock_forward_to_a_retry_and_not_to_the_line_behind_it(
    worker,
) -> None:
    attempts: list[int] = []

    @worker.task(retries=1, retry_delay=3600)
    async def one_by_one() -> None:
        attempts.append(get_current_context().attempt)
        if len(attempts) == 1:
            raise ValueError("once")

    async with run_worker(worker) as harness:
        now = await harness.store.now()
        plan = CronPlan(
            expression="* * * * *",
            missed_run_policy=MissedRunPolicy.CATCH_UP,
            overlap=Overlap.QUEUE,
        )
        order = ScheduleOrder(
            action=ScheduleAction.ADD,
            function="one_by_one",
            name="late",
            next_at=plan.cron.next_after(now - 180_000),
            plan=plan,
        )
        await harness.store.order(order)
        while len(harness.enqueued(one_by_one)) < 3:
            await anyio.lowlevel.checkpoint()
        await harness.drain(scheduled=True)
        assert attempts[:4] == [1, 2, 1, 1]
