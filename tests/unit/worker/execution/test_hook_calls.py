"""When hooks are called, what they cannot do, and what ends them."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.support.tree import raise_while_cancelled, running, until
from upnext import Context, Discard, JobStatus, Snooze, Worker, get_current_context
from upnext.worker.execution.hook_calls import HOOK_LIMIT


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


async def test_on_success_comes_before_the_result_is_written_and_on_complete_after() -> None:
    worker = make_worker()
    seen: dict[str, JobStatus] = {}

    async def look(name: str) -> None:
        seen[name] = (await tree.record(get_current_context().job_id)).status

    async def on_success() -> None:
        await look("success")

    async def on_failure() -> None:
        await look("failure")

    async def on_complete() -> None:
        await look("complete")

    @worker.task(on_success=on_success, on_failure=on_failure, on_complete=on_complete)
    async def work(good: bool) -> None:
        if not good:
            raise ValueError

    async with running(worker) as tree:
        await work.submit(True)
        await until(lambda: "complete" in seen)
        assert seen == {"success": JobStatus.RUNNING, "complete": JobStatus.COMPLETE}
        seen.clear()
        await work.submit(False)
        await until(lambda: "complete" in seen)
        assert seen == {"failure": JobStatus.RUNNING, "complete": JobStatus.FAILED}
        await tree.stop()


async def test_a_soft_stop_waits_for_on_complete() -> None:
    worker = make_worker()
    started, said = anyio.Event(), []

    async def on_complete() -> None:
        started.set()
        await anyio.sleep(5)
        said.append("complete")

    @worker.task(on_complete=on_complete)
    async def work() -> None: ...

    async with running(worker) as tree:
        await work.submit()
        await started.wait()
        await tree.stop()
        assert said == ["complete"]


async def test_on_complete_is_not_called_for_a_result_that_came_too_late() -> None:
    worker = make_worker()
    said: list[str] = []

    async def on_success() -> None:
        said.append("success")

    async def on_complete() -> None:
        said.append("complete")

    @worker.task(on_success=on_success, on_complete=on_complete)
    async def work() -> None: ...

    async with running(worker) as tree:
        settle = tree.store.settle

        async def too_late(name: str, outcomes: Any) -> Any:
            return await settle("another worker", outcomes)

        tree.store.settle = too_late
        await work.submit()
        await until(lambda: said and tree.parts.running.statistics().running == 0)
        assert said == ["success"]


@pytest.mark.parametrize("control", [Discard("no"), Snooze(5), None])
async def test_no_hook_speaks_of_what_was_cancelled_or_put_off(control: Any) -> None:
    worker = make_worker()
    said: list[str] = []
    hooks: dict[str, Any] = {
        name: lambda name=name: said.append(name)
        for name in ("on_success", "on_failure", "on_retry", "on_complete")
    }

    @worker.task(retries=1, **hooks)
    async def work() -> None:
        if control is None:
            await anyio.sleep_forever()
        raise control

    async with running(worker) as tree:
        job = await work.submit()
        if control is None:
            await until(lambda: tree.parts.running.statistics().running)
            await job.cancel()
        if not isinstance(control, Snooze):
            assert (await tree.end_of(job)).status is JobStatus.CANCELLED
        else:
            await anyio.sleep(3)
        assert said == []


async def test_the_time_of_on_start_counts() -> None:
    worker = make_worker()
    runs, cleaned = [], anyio.Event()

    async def on_start() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.set()

    async def on_failure(context: Context, error: Exception) -> None:
        assert isinstance(error, TimeoutError)
        runs.append(str(error))

    @worker.task(timeout=5, on_start=on_start, on_failure=on_failure)
    async def work() -> None:
        runs.append("ran")

    async with running(worker) as tree:
        began = anyio.current_time()
        job = await work.submit()
        ended = await tree.end_of(job)
        assert ended.status is JobStatus.FAILED
        assert anyio.current_time() - began == pytest.approx(5, abs=0.5)
        assert cleaned.is_set()
        assert runs == [f"Job {job.job_id} timed out after 5s"]
        await tree.stop()


async def test_a_cancel_reaches_on_start() -> None:
    worker = make_worker()
    started = anyio.Event()

    async def on_start() -> None:
        started.set()
        await anyio.sleep_forever()

    @worker.task(timeout=None, on_start=on_start)
    async def work() -> None: ...

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        await job.cancel()
        assert (await tree.end_of(job)).status is JobStatus.CANCELLED
        await tree.stop()


@pytest.mark.parametrize("name", ["on_success", "on_failure", "on_retry", "on_complete"])
async def test_a_hook_that_takes_too_long_is_cut_off(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make_worker()
    cleaned = anyio.Event()
    good = name in ("on_success", "on_complete")

    async def endless() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.set()

    options: dict[str, Any] = {name: endless}

    @worker.task(retries=int(name == "on_retry"), retry_delay=0, **options)
    async def work() -> None:
        if not good:
            raise ValueError

    async with running(worker) as tree:
        began = anyio.current_time()
        job = await work.submit()
        status = (await tree.end_of(job)).status
        assert status is (JobStatus.COMPLETE if good else JobStatus.FAILED)
        await cleaned.wait()
        await tree.stop()
        assert anyio.current_time() - began == pytest.approx(HOOK_LIMIT, abs=2)
    assert f"{name} of work ({job.job_id}) was cut off after 30 s" in caplog.text


@pytest.mark.parametrize(
    "error", [ValueError("oh"), SystemExit(3), ExceptionGroup("g", [OSError()])]
)
@pytest.mark.parametrize(
    "name", ["on_start", "on_success", "on_failure", "on_retry", "on_complete"]
)
async def test_what_a_hook_raises_is_logged_and_changes_nothing(
    name: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make_worker()

    async def bad_hook() -> None:
        raise error

    options: dict[str, Any] = {name: bad_hook}

    @worker.task(retries=1, retry_delay=0, **options)
    async def work(good: bool) -> None:
        if not good:
            raise KeyError

    async with running(worker) as tree:
        good, bad = await work.submit(True), await work.submit(False)
        assert (await tree.end_of(good)).status is JobStatus.COMPLETE
        ended = await tree.end_of(bad)
        assert (ended.status, ended.attempt) == (JobStatus.FAILED, 2)
        await tree.stop()
    concerned = bad if name in ("on_failure", "on_retry") else good
    (record, *_) = [
        record
        for record in caplog.records
        if f"{name} of work ({concerned.job_id}) failed" in record.message
    ]
    assert record.levelno == logging.WARNING
    assert record.__dict__["hook"] == name
    assert record.__dict__["job_id"] == concerned.job_id
    assert record.exc_info
    assert record.exc_info[1] is error


async def test_a_hook_without_a_name_may_fail_as_well(caplog: pytest.LogCaptureFixture) -> None:
    worker = make_worker()

    class Nameless:
        async def __call__(self, ctx: Context) -> None:
            raise ValueError("nameless")

    async def fail(how: str) -> None:
        raise ValueError(how)

    @worker.task(on_start=Nameless(), on_success=partial(fail, "partial"))
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        assert (await work.wait()).value == 1
        await tree.stop()
    assert "nameless" in caplog.text
    assert "partial" in caplog.text


@pytest.mark.parametrize("control", [Snooze(5), Discard("no")])
async def test_a_hook_cannot_say_what_becomes_of_the_job(control: Exception) -> None:
    worker = make_worker()

    async def hook() -> None:
        raise control

    @worker.task(on_start=hook, on_success=hook)
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        assert (await work.wait()).value == 1
        await tree.stop()


@pytest.mark.parametrize("name", ["on_success", "on_complete"])
async def test_a_hard_stop_cancels_hooks_and_keeps_the_result(name: str) -> None:
    worker = make_worker()
    started = anyio.Event()

    async def messy() -> None:
        started.set()
        await raise_while_cancelled()

    options: dict[str, Any] = {name: messy}

    @worker.task(**options)
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        began = anyio.current_time()
        await tree.stop_now()
        assert anyio.current_time() - began < 1
        assert (await tree.record(job)).status is JobStatus.COMPLETE


async def test_a_hard_stop_ends_the_wait_for_a_write() -> None:
    worker = make_worker()
    said: list[str] = []

    @worker.task(on_complete=lambda: said.append("complete"))
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        settle, asked = tree.store.settle, anyio.Event()

        async def slow(*args: Any) -> Any:
            asked.set()
            await anyio.sleep(3)
            return await settle(*args)

        tree.store.settle = slow
        job = await work.submit()
        await asked.wait()
        await tree.stop_now()
        assert said == []
        assert (await tree.record(job)).status is JobStatus.COMPLETE
        assert len(tree.parts.flusher.receipts) == 0


async def test_an_attempt_that_comes_too_late_to_start_calls_no_hook() -> None:
    worker = make_worker()
    said: list[str] = []

    @worker.task(on_start=lambda: said.append("start"))
    async def work() -> None: ...

    async with running(worker) as tree:
        attempts: Any = tree.parts.executor.attempts
        clock = attempts["work"].clock
        await until(lambda: clock.loop_time(0) is not None)
        clock.loop_time = lambda deadline: anyio.current_time() - 1
        job = await work.options(deadline=60).submit()
        assert (await tree.end_of(job)).status is JobStatus.EXPIRED
        assert said == []
        await tree.stop()


async def test_a_task_without_hooks_has_no_hook_calls() -> None:
    worker = make_worker()

    @worker.task
    async def plain() -> None: ...

    @worker.task(on_start=lambda: None)
    async def hooked() -> None: ...

    async with running(worker) as tree:
        attempts = tree.parts.executor.attempts
        assert attempts["plain"].hooks is None
        assert attempts["hooked"].hooks is not None
        await tree.stop()
