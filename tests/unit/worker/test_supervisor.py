"""A whole worker, and how it stops."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

import upnext
from tests.support.tree import raise_while_cancelled, running, until
from upnext import JobStatus, Worker, get_current_context, submit_many
from upnext.model.job import Claimed
from upnext.testing.memory import MemoryStore
from upnext.worker.supervisor import UNWIND_LIMIT


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


async def test_it_has_started_when_its_schedules_are_there() -> None:
    worker = make_worker()

    @worker.cron("0 0 1 1 *")
    async def yearly() -> None: ...

    async with running(worker) as tree:
        assert (await upnext.schedules.get(yearly)).name == "yearly"
        await tree.stop()


async def test_an_error_while_a_hard_stop_cancels_a_job_hands_it_back() -> None:
    worker = make_worker()
    started = anyio.Event()

    @worker.task
    async def messy() -> None:
        started.set()
        await raise_while_cancelled()

    async with running(worker) as tree:
        job = await messy.submit()
        await started.wait()
        await tree.stop_now()
        assert tree.error is None
        record = await tree.record(job)
        assert (record.status, record.attempt) == (JobStatus.QUEUED, 0)


@pytest.mark.parametrize("prefetch", [0, 10])
async def test_a_soft_stop_finishes_what_was_claimed(prefetch: int) -> None:
    worker = make_worker(concurrency=3)
    runs: list[int] = []

    @worker.task
    async def work(n: int) -> int:
        runs.append(n)
        await anyio.sleep(1)
        return n

    async with running(worker, inbox_size=prefetch) as tree:
        jobs = [await work.submit(n) for n in range(20)]
        await until(lambda: len(runs) == 3)
        await anyio.sleep(0.5)
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began < 10  # it waits for nothing but the jobs
        statuses = [(await tree.record(job)).status for job in jobs]
        done = statuses.count(JobStatus.COMPLETE)
        assert done == len(runs)
        assert 3 + prefetch // 2 <= done <= 3 + prefetch
        assert statuses.count(JobStatus.QUEUED) == 20 - done


async def test_a_soft_stop_becomes_a_hard_one_after_its_grace() -> None:
    worker = make_worker()
    started = anyio.Event()

    @worker.task
    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    async with running(worker, grace=7) as tree:
        job = await endless.submit()
        await started.wait()
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began == pytest.approx(7, abs=0.1)
        record = await tree.record(job)
        assert (record.status, record.attempt, record.delivery) == (JobStatus.QUEUED, 0, 1)


async def test_a_hard_stop_hands_everything_back() -> None:
    worker = make_worker(concurrency=2)
    runs: list[int] = []

    @worker.task
    async def work(n: int) -> None:
        runs.append(n)
        await anyio.sleep_forever()

    async with running(worker, inbox_size=4) as tree:
        jobs = [await work.submit(n) for n in range(10)]
        await until(lambda: len(runs) == 2 and tree.parts.inbox.statistics().queued >= 3)
        await tree.stop_now()
        records = [await tree.record(job) for job in jobs]
        assert {(record.status, record.attempt) for record in records} == {(JobStatus.QUEUED, 0)}
        assert sum(record.delivery for record in records) in (5, 6)


async def test_a_job_that_does_not_end_is_named_and_all_others_are_saved() -> None:
    worker = make_worker(concurrency=3)
    started, release = anyio.Event(), anyio.Event()

    @worker.task
    async def stubborn() -> None:
        started.set()
        with anyio.CancelScope(shield=True):
            await release.wait()

    @worker.task
    async def meek() -> None:
        await anyio.sleep_forever()

    async with running(worker, inbox_size=3) as tree:
        tree.on_stuck = release.set
        meek_job = await meek.submit()
        job = await stubborn.submit()
        await started.wait()
        began = anyio.current_time()
        tree.shutdown.stop_now()
        await tree.ended.wait()
        assert tree.stuck == [f"stubborn ({job.job_id})"]
        assert anyio.current_time() - began == pytest.approx(UNWIND_LIMIT, abs=0.5)
        for one in (job, meek_job):
            record = await tree.record(one)
            assert (record.status, record.attempt) == (JobStatus.QUEUED, 0)


async def test_a_hook_that_does_not_end_is_named_and_its_jobs_result_is_saved() -> None:
    worker = make_worker()
    started, release = anyio.Event(), anyio.Event()

    async def stubborn() -> None:
        started.set()
        with anyio.CancelScope(shield=True):
            await release.wait()

    @worker.task(on_success=stubborn)
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        tree.on_stuck = release.set
        job = await work.submit()
        await started.wait()
        tree.shutdown.stop_now()
        await tree.ended.wait()
        assert tree.stuck == [f"work ({job.job_id})"]
        assert (await tree.record(job)).status is JobStatus.COMPLETE


async def test_a_hard_stop_during_a_hook_loses_no_result() -> None:
    worker = make_worker()
    started = anyio.Event()

    async def slow_hook() -> None:
        started.set()
        await anyio.sleep_forever()

    @worker.task(on_success=slow_hook)
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        await tree.stop_now()
        assert (await tree.record(job)).status is JobStatus.COMPLETE


async def test_when_intake_crashes_what_runs_is_finished_and_the_crash_goes_on() -> None:
    worker = make_worker()
    started, proceed = anyio.Event(), anyio.Event()

    @worker.task
    async def work() -> int:
        started.set()
        await proceed.wait()
        return 1

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()

        async def crash(*_: object) -> None:
            raise ZeroDivisionError("the stager is broken")

        tree.store.stage = crash
        tree.parts.stager.note("work")
        await tree.shutdown._asked.wait()  # pyright: ignore[reportPrivateUsage]
        proceed.set()
        await tree.ended.wait()
        assert isinstance(tree.error, ExceptionGroup)
        assert tree.error.subgroup(ZeroDivisionError)
        assert (await tree.record(job)).status is JobStatus.COMPLETE
        tree.is_clean()


async def test_when_the_flusher_crashes_the_tree_goes_down_at_once() -> None:
    worker = make_worker()
    started = anyio.Event()

    @worker.task
    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    @worker.task
    async def quick() -> None: ...

    async with running(worker) as tree:
        await endless.submit()
        await started.wait()

        async def crash(*_: object) -> None:
            raise ZeroDivisionError("the flusher is broken")

        tree.store.settle = crash
        began = anyio.current_time()
        await quick.submit()
        await tree.ended.wait()
        assert anyio.current_time() - began < 1
        assert isinstance(tree.error, ExceptionGroup)
        assert tree.error.subgroup(ZeroDivisionError)
        slots = tree.parts.slots.statistics()
        assert (slots.free, slots.lent) == (2, 0)


@pytest.mark.parametrize("hard", [True, False])
async def test_a_stop_between_a_claim_and_its_reply_hands_the_jobs_back(hard: bool) -> None:
    worker = make_worker()

    @worker.task
    async def work() -> None: ...

    async with running(worker) as tree:
        await anyio.sleep(1)
        claim, claimed = tree.store.claim, anyio.Event()

        async def unanswered(*args: Any, **options: Any) -> Any:
            answer = await claim(*args, **options)
            if answer.jobs:
                claimed.set()
                await anyio.sleep_forever()
            return answer

        tree.store.claim = unanswered
        jobs = await submit_many(work, [{}, {}])  # of two jobs none is handed over
        await claimed.wait()
        await (tree.stop_now() if hard else tree.stop())
        for job in jobs:
            record = await tree.record(job)
            assert (record.status, record.attempt) == (JobStatus.QUEUED, 0)


class Unhurried(MemoryStore):
    """Keeps the answers to claims back."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = anyio.Event()

    async def claim(
        self, worker: str, wants: Sequence[tuple[str, int]], *, prompt: bool = False
    ) -> Claimed:
        claimed = await super().claim(worker, wants, prompt=prompt)
        await self.answers.wait()
        return claimed


async def test_a_job_that_overtakes_the_answer_to_the_first_claim_knows_the_time() -> None:
    worker = make_worker()

    @worker.task
    async def work() -> float:
        logging.getLogger("app").warning("hello")
        get_current_context().set_progress(0.5)
        return get_current_context().started_at

    @worker.task
    async def endless() -> None:
        await anyio.sleep_forever()

    store = Unhurried()
    async with running(worker, store=store) as tree:
        assert (await work.wait()).value * 1000 == pytest.approx(await store.now(), abs=1)
        ended = await tree.end_of(await endless.options(deadline=5).submit())
        assert ended.status is JobStatus.EXPIRED
        store.answers.set()
        await tree.stop()


async def test_a_job_handed_to_a_worker_that_drains_is_handed_back() -> None:
    worker = make_worker()
    started, finish = anyio.Event(), anyio.Event()

    @worker.task
    async def work() -> None:
        started.set()
        await finish.wait()

    async with running(worker) as tree:
        await anyio.sleep(1)
        first = await work.submit()
        await started.wait()
        await anyio.sleep(1)  # it has asked again and is known as free
        tree.shutdown.begin_drain()
        await anyio.sleep(1)
        second = await work.submit()
        assert (await tree.record(second)).delivery == 1
        finish.set()
        await tree.ended.wait()
        assert (await tree.record(first)).status is JobStatus.COMPLETE
        record = await tree.record(second)
        assert (record.status, record.attempt) == (JobStatus.QUEUED, 0)


async def test_a_job_handed_over_when_nobody_listens_any_more_is_queued_at_once() -> None:
    worker = make_worker()

    @worker.task
    async def work() -> None: ...

    async with running(worker) as tree:
        await anyio.sleep(1)
        handed: list[Any] = []
        retire = tree.store.retire

        async def late(*args: Any) -> int:
            # Its channel still stands: the server has not heard yet that it listens no more.
            tree.store.subscribe(
                tree.store.keys.worker_channel(tree.parts.worker), handed.append, lambda: None
            )
            jobs.append(await work.submit())
            return await retire(*args)

        jobs: list[Any] = []
        tree.store.retire = late
        await tree.stop()
        assert len(handed) == 1
        record = await tree.record(jobs[0])
        assert (record.status, record.attempt) == (JobStatus.QUEUED, 0)


@pytest.mark.parametrize("draining", [False, True])
async def test_a_worker_whose_executors_end_though_nobody_stopped_it_has_failed(
    draining: bool,
) -> None:
    worker = make_worker()
    started = anyio.Event()

    @worker.task
    async def endless() -> None:
        started.set()
        await anyio.sleep_forever()

    async with running(worker) as tree:
        job = await endless.submit()
        await started.wait()
        if draining:
            tree.shutdown.begin_drain()
            await anyio.wait_all_tasks_blocked()
        group = tree.parts.executor._group  # pyright: ignore[reportPrivateUsage]
        assert group is not None
        group.cancel_scope.cancel()
        await tree.ended.wait()
        assert isinstance(tree.error, RuntimeError)
        assert "nobody stopped it" in str(tree.error)
        tree.is_clean()
        assert (await tree.record(job)).status is JobStatus.QUEUED
