"""Every way in which a job ends, on a whole worker."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

import upnext
from tests.support.tree import raise_while_cancelled, running
from upnext import Discard, JobStatus, Retry, Snooze, Worker, get_current_context


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


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


async def test_the_last_attempt_says_why_a_job_failed() -> None:
    worker = make_worker()

    @worker.task(retries=1, timeout=5)
    async def slow_then_wrong() -> None:
        if get_current_context().attempt == 1:
            await anyio.sleep_forever()
        raise ValueError("wrong")

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskExecutionError, match="wrong") as caught:
            await slow_then_wrong.wait()
        assert not isinstance(caught.value, upnext.TaskTimeoutError)
        assert caught.value.task_result.failure_reason is upnext.FailureReason.EXCEPTION
        await tree.stop()


async def test_a_job_that_completes_in_the_end_has_no_failure() -> None:
    worker = make_worker()

    @worker.task(retries=1, timeout=5)
    async def slow_then_right() -> int:
        if get_current_context().attempt == 1:
            await anyio.sleep_forever()
        return 7

    async with running(worker) as tree:
        result = await slow_then_right.wait()
        assert (result.value, result.attempts, result.ok) == (7, 2, True)
        assert (result.error, result.failure_reason, result.traceback) == (None, None, None)
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


@pytest.mark.parametrize(
    "error", [UnspeakableError(), SystemExit(3), ExceptionGroup("g", [OSError()])]
)
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


@pytest.mark.parametrize(("waits", "status"), [(9.9, JobStatus.EXPIRED), (5.0, JobStatus.FAILED)])
async def test_a_job_that_hears_first_that_others_missed_their_common_deadline_expires(
    waits: float, status: JobStatus
) -> None:
    worker = make_worker()
    late = upnext.TaskResult(value=None, job_id="child-1", status=JobStatus.EXPIRED)

    @worker.task
    async def parent() -> None:
        await anyio.sleep(waits)
        raise ExceptionGroup("jobs", [upnext.TaskExecutionError(late)])

    async with running(worker) as tree:
        ended = await tree.end_of(await parent.options(deadline=10).submit())
        assert ended.status is status
        await tree.stop()
