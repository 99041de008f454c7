"""Functions in threads and in processes: real ones, so the time is real, too."""

from __future__ import annotations

import contextvars
import os
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

import upnext
from tests.support import process_jobs
from tests.support.tree import running, until
from upnext import ConfigurationError, JobStatus, SyncExecutor, Worker
from upnext.worker.execution.invoke import Invocations

HANG = 30.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def seen(event: threading.Event) -> None:
    """Return when a thread set it."""
    with anyio.fail_after(HANG):
        assert await anyio.to_thread.run_sync(event.wait, HANG)


async def test_a_sync_function_runs_in_a_thread_and_sees_its_job() -> None:
    worker = Worker("threads")

    @worker.task
    def work(n: int) -> list[Any]:
        return [threading.get_ident(), upnext.get_current_context().attempt, n]

    async with running(worker) as tree:
        thread, attempt, n = (await work.wait(7)).value
        assert thread != threading.get_ident()
        assert (attempt, n) == (1, 7)
        await tree.stop()


async def test_a_sync_function_may_return_something_to_await() -> None:
    worker = Worker("threads")

    async def double(n: int) -> int:
        return 2 * n

    @worker.task
    def work(n: int) -> Any:
        return double(n)

    async with running(worker) as tree:
        assert (await work.wait(21)).value == 42
        await tree.stop()


@pytest.mark.parametrize("error", [ValueError, SystemExit, StopIteration])
async def test_what_a_thread_raises_fails_its_job_alone(error: type[BaseException]) -> None:
    worker = Worker("threads")

    @worker.task
    def work() -> None:
        raise error("no")

    async with running(worker) as tree:
        assert (await tree.end_of(await work.submit())).status is JobStatus.FAILED
        await tree.stop()


async def test_a_thread_that_asks_is_told_that_its_job_was_cancelled() -> None:
    worker = Worker("threads")
    started, told = threading.Event(), threading.Event()

    @worker.task
    def work() -> None:
        started.set()
        try:
            while True:
                upnext.check_cancelled()
                started.wait(0.001)
        finally:
            told.set()

    async with running(worker) as tree:
        job = await work.submit()
        await seen(started)
        await job.cancel("enough")
        assert (await tree.end_of(job)).status is JobStatus.CANCELLED
        await seen(told)
        await tree.stop()


async def test_a_thread_that_does_not_ask_is_left_behind_and_keeps_no_slot() -> None:
    worker = Worker("threads", concurrency=1)
    started, release = threading.Event(), threading.Event()

    @worker.task(timeout=0.05)
    def deaf() -> None:
        started.set()
        release.wait(HANG)

    @worker.task
    def good() -> int:
        return 1

    async with running(worker) as tree:
        try:
            job = await deaf.submit()
            assert (await tree.end_of(job)).failure is not None
            assert started.is_set()
            assert (await good.wait()).value == 1
            await tree.stop()
        finally:
            release.set()


async def test_a_hard_stop_hands_back_what_runs_in_a_thread() -> None:
    worker = Worker("threads")
    started, release = threading.Event(), threading.Event()

    @worker.task
    def deaf() -> None:
        started.set()
        release.wait(HANG)

    async with running(worker) as tree:
        try:
            job = await deaf.submit()
            await seen(started)
            with anyio.fail_after(HANG):
                await tree.stop_now()
            record = await tree.record(job)
            assert (record.status, record.attempt) == (JobStatus.QUEUED, 0)
        finally:
            release.set()


async def test_a_tree_of_jobs_in_threads_completes_with_one_slot() -> None:
    worker = Worker("threads", concurrency=1)

    @worker.task
    def node(depth: int) -> int:
        return 1 + node.wait_sync(depth - 1).value if depth else 1

    async with running(worker) as tree:
        with anyio.fail_after(HANG):
            assert (await node.wait(3)).value == 4
        await tree.stop()


async def test_a_thread_that_waits_for_a_job_is_let_go_when_its_own_is_cancelled() -> None:
    worker = Worker("threads", concurrency=1)
    started = threading.Event()

    @worker.task
    def parent() -> None:
        started.set()
        endless.wait_sync()

    @worker.task
    async def endless() -> None:
        await anyio.sleep_forever()

    async with running(worker) as tree:
        job = await parent.submit()
        await seen(started)
        with anyio.fail_after(HANG):
            await until(lambda: tree.parts.slots.statistics().lent)
            await until(lambda: len(tree.parts.running.names()) == 2)
            await job.cancel("enough")
            assert (await tree.end_of(job)).status is JobStatus.CANCELLED
            await tree.stop_now()


async def test_the_callers_context_is_not_the_jobs() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    worker = Worker("threads")

    @worker.task
    def work() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    async with running(worker) as tree:
        assert [(await work.wait()).value for _ in range(3)] == [1, 1, 1]
        await tree.stop()


def test_a_function_that_no_process_can_find_is_refused_at_the_start() -> None:
    worker = Worker("processes")

    @worker.task
    def hidden() -> None: ...

    [definition] = worker.registry
    invocations = Invocations(
        SyncExecutor.PROCESS, anyio.CapacityLimiter(1), anyio.CapacityLimiter(1)
    )
    with pytest.raises(ConfigurationError, match="top of its module"):
        invocations.of(definition)


@pytest.mark.hard_limit(120)
async def test_a_sync_function_runs_in_a_process_and_sees_its_job() -> None:
    async with running(process_jobs.worker) as tree:
        job = await process_jobs.who_am_i.submit()
        value = (await job.result()).value
        assert value.pop("pid") != os.getpid()
        assert value == {
            "job_id": job.job_id,
            "root_id": job.job_id,
            "parent_id": None,
            "attempt": 1,
        }
        ends = {
            how: await tree.end_of(await process_jobs.wicked.submit(how))
            for how in ("error", "exit", "die", "discard", "retry", "unspeakable", "object")
        }
        statuses = {how: ended.status for how, ended in ends.items()}
        assert statuses.pop("discard") is JobStatus.CANCELLED
        assert set(statuses.values()) == {JobStatus.FAILED}
        kinds = {
            how: ended.failure.type.rpartition(".")[2]
            for how, ended in ends.items()
            if ended.failure is not None
        }
        assert kinds == {
            "error": "KeyError",
            "exit": "SystemExit",
            "die": "WorkerProcessDiedError",
            "retry": "Retry",
            "unspeakable": "UnspeakableError",
            "object": "CodecError",
        }
        assert (await process_jobs.who_am_i.wait()).value["attempt"] == 1
        await tree.stop()


@pytest.mark.hard_limit(120)
async def test_a_process_is_used_again_for_the_next_job() -> None:
    async with running(process_jobs.worker) as tree:
        pids = [(await process_jobs.who_am_i.wait()).value["pid"] for _ in range(5)]
        assert len(set(pids)) == 1
        await tree.stop()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.hard_limit(120)
async def test_a_process_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    async with running(process_jobs.worker) as tree:
        await process_jobs.who_am_i.wait()  # so that its process is warm
        with pytest.raises(upnext.TaskTimeoutError):
            await process_jobs.too_slow.wait(str(path))
        pid = int(path.read_text())
        with anyio.fail_after(HANG):
            await until(lambda: not runs(pid))
        await tree.stop()
