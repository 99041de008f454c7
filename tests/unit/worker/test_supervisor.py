"""The whole worker, on the memory store."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import upnext
from tests.support.tree import running
from upnext import Discard, JobStatus, Retry, Snooze, Worker, get_current_context
from upnext.worker.supervisor import UNWIND_LIMIT


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


async def test_a_job_completes() -> None:
    worker = make_worker()

    @worker.task
    async def double(n: int) -> int:
        return 2 * n

    async with running(worker) as tree:
        result = await double.wait(21)
        assert result.value == 42
        await tree.stop()


async def test_a_job_fails_is_tried_again_and_succeeds() -> None:
    worker = make_worker()

    @worker.task(retries=3, retry_delay=10)
    async def shaky() -> int:
        if get_current_context().attempt < 3:
            raise ValueError("not yet")
        return get_current_context().attempt

    async with running(worker) as tree:
        began = anyio.current_time()
        assert (await shaky.wait()).value == 3
        assert anyio.current_time() - began == pytest.approx(30, abs=1)
        await tree.stop()


@pytest.mark.parametrize("dead_letter", [True, False])
async def test_a_job_fails_for_good(dead_letter: bool) -> None:
    worker = make_worker()

    @worker.task(retries=1, dead_letter=dead_letter)
    async def broken() -> None:
        raise ValueError("never")

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskExecutionError, match="never"):
            await broken.wait()
        (queue,) = tree.store.queues.values()
        assert len(queue.dead) == dead_letter
        await tree.stop()


async def test_a_job_that_takes_too_long_is_cancelled_and_fails_with_that_reason() -> None:
    worker = make_worker()
    cleaned = anyio.Event()

    @worker.task(timeout=5)
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.set()

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskTimeoutError):
            await slow.wait()
        assert cleaned.is_set()
        await tree.stop()


async def test_a_users_timeout_error_is_no_timeout_of_the_job() -> None:
    worker = make_worker()

    @worker.task
    async def impatient() -> None:
        with anyio.fail_after(1):
            await anyio.sleep_forever()

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskExecutionError) as caught:
            await impatient.wait()
        assert not isinstance(caught.value, upnext.TaskTimeoutError)
        await tree.stop()


async def test_a_job_whose_deadline_passes_while_it_runs_expires() -> None:
    worker = make_worker()

    @worker.task(retries=5)
    async def slow() -> None:
        await anyio.sleep_forever()

    async with running(worker) as tree:
        job = await slow.options(deadline=3).submit()
        ended = await tree.end_of(job)
        assert ended.status is JobStatus.EXPIRED
        await tree.stop()


@pytest.mark.parametrize(
    ("control", "status"),
    [(Discard("not wanted"), JobStatus.CANCELLED), (Retry(1), JobStatus.FAILED)],
)
async def test_a_job_says_what_is_to_become_of_it(control: Exception, status: JobStatus) -> None:
    worker = make_worker()
    attempts: list[int] = []

    @worker.task(retries=1)
    async def decided() -> None:
        attempts.append(get_current_context().attempt)
        raise control

    async with running(worker) as tree:
        ended = await tree.end_of(await decided.submit())
        assert ended.status is status
        assert attempts == ([1] if status is JobStatus.CANCELLED else [1, 2])
        await tree.stop()


async def test_a_snoozed_job_runs_again_without_spending_an_attempt() -> None:
    worker = make_worker()
    attempts: list[int] = []

    @worker.task
    async def sleepy() -> None:
        attempts.append(get_current_context().attempt)
        if len(attempts) < 3:
            raise Snooze(7)

    async with running(worker) as tree:
        assert (await tree.end_of(await sleepy.submit())).status is JobStatus.COMPLETE
        assert attempts == [1, 1, 1]
        await tree.stop()


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
        while not tree.parts.inbox.statistics().queued:
            await anyio.sleep(0.01)
        assert await second.cancel("changed my mind")
        ended = await tree.end_of(second)
        assert (ended.status, ended.reason) == (JobStatus.CANCELLED, "changed my mind")
        proceed.set()
        await tree.stop()
        assert runs == ["first"]


async def test_a_result_that_cannot_be_stored_fails_alone() -> None:
    worker = make_worker(concurrency=10)

    @worker.task(retries=5)
    async def answer(n: int) -> Any:
        return object() if n == 3 else n

    async with running(worker) as tree:
        jobs = [await answer.submit(n) for n in range(6)]
        ends = [await tree.end_of(job) for job in jobs]
        failed = [n for n, ended in enumerate(ends) if ended.status is JobStatus.FAILED]
        assert failed == [3]
        failure = ends[3].failure
        assert failure is not None
        assert "cannot be stored" in failure.message
        assert ends[3].attempt == 1
        await tree.stop()


async def test_arguments_that_do_not_fit_fail_the_job_at_once() -> None:
    worker = make_worker()

    @worker.task(retries=5)
    async def double(n: int) -> int:
        return 2 * n

    async with running(worker) as tree:
        job = double.job((1,), {})
        bad = type(job)(id=job.id, function=job.function, arguments=b"nonsense")
        await tree.client.submit(bad)
        ended = await tree.end_of(bad.id)
        assert (ended.status, ended.attempt) == (JobStatus.FAILED, 1)
        await tree.stop()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [Unspeakable(), SystemExit(3), ExceptionGroup("g", [OSError()])])
async def test_no_error_of_a_job_harms_the_worker(error: BaseException) -> None:
    worker = make_worker(concurrency=1)

    @worker.task
    async def wicked() -> None:
        raise error

    @worker.task
    async def good() -> int:
        return 1

    async with running(worker) as tree:
        ended = await tree.end_of(await wicked.submit())
        assert ended.status is JobStatus.FAILED
        assert ended.failure is not None
        assert type(error).__name__ in ended.failure.type
        assert (await good.wait()).value == 1
        await tree.stop()


async def test_a_stray_cancellation_is_the_jobs_own_failure(anyio_backend_name: str) -> None:
    if anyio_backend_name != "asyncio":
        return  # Trio's cancellations cannot be made without a scope
    import asyncio

    worker = make_worker(concurrency=1)

    @worker.task
    async def careless() -> None:
        other = asyncio.ensure_future(anyio.sleep_forever())
        await anyio.sleep(1)
        other.cancel()
        await other

    async with running(worker) as tree:
        ended = await tree.end_of(await careless.submit())
        assert ended.status is JobStatus.FAILED
        await tree.stop()


async def raise_while_cancelled() -> None:
    """Cancelled, it raises an error together with the cancellation."""

    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("while cleaning up")

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        group.start_soon(anyio.sleep_forever)


async def test_an_error_while_a_job_is_cancelled_harms_nobody_else() -> None:
    worker = make_worker(concurrency=1)

    @worker.task(timeout=5)
    async def messy() -> None:
        await raise_while_cancelled()

    @worker.task
    async def good() -> int:
        return 1

    async with running(worker) as tree:
        ended = await tree.end_of(await messy.submit())
        assert ended.status is JobStatus.FAILED
        assert (await good.wait()).value == 1
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
        while len(runs) < 3:
            await anyio.sleep(0.01)
        await anyio.sleep(0.5)
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began < 10  # it waits for nothing but the jobs
        statuses = [(await tree.record(job)).status for job in jobs]
        done = statuses.count(JobStatus.COMPLETE)
        assert done == len(runs) == 3 + prefetch
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
        while len(runs) < 2 or tree.parts.inbox.statistics().queued < 4:
            await anyio.sleep(0.01)
        await tree.stop_now()
        records = [await tree.record(job) for job in jobs]
        assert {(record.status, record.attempt) for record in records} == {(JobStatus.QUEUED, 0)}
        assert sum(record.delivery for record in records) == 6


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
        while not tree.parts.running.names():
            await anyio.sleep(0.01)
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


async def test_hooks_are_given_what_they_are_promised() -> None:
    worker = make_worker()
    said: list[Any] = []

    @worker.task(
        retries=1,
        retry_delay=1,
        on_start=lambda ctx: said.append(("start", ctx.attempt)),
        on_success=lambda ctx, result: said.append(("success", result)),
        on_retry=lambda ctx, error: said.append(("retry", str(error))),
        on_failure=lambda ctx, error: said.append(("failure", str(error))),
        on_complete=lambda: said.append("complete"),
    )
    async def work(good: bool) -> list[int]:
        if not good:
            raise ValueError("bad")
        return [1]

    async with running(worker) as tree:
        await work.wait(True)
        assert said == [("start", 1), ("success", [1]), "complete"]
        said.clear()
        await tree.end_of(await work.submit(False))
        assert said == [
            ("start", 1),
            ("retry", "bad"),
            ("start", 2),
            ("failure", "bad"),
            "complete",
        ]
        await tree.stop()


@pytest.mark.parametrize("error", [ValueError(), SystemExit()])
async def test_an_error_of_a_hook_is_not_the_jobs(error: BaseException) -> None:
    worker = make_worker()

    async def bad_hook() -> None:
        raise error

    @worker.task(on_start=bad_hook, on_success=bad_hook, on_complete=bad_hook)
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        assert (await work.wait()).value == 1
        await tree.stop()


async def test_a_job_is_cancelled_while_its_first_hook_runs() -> None:
    worker = make_worker()
    started, proceed, runs = anyio.Event(), anyio.Event(), []

    async def hook() -> None:
        started.set()
        await proceed.wait()

    @worker.task(on_start=hook)
    async def work() -> None:
        runs.append(1)

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        await job.cancel("no")
        proceed.set()
        assert (await tree.end_of(job)).status is JobStatus.CANCELLED
        assert runs == []
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


async def test_a_busy_worker_stays_healthy() -> None:
    import orjson

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
