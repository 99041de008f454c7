"""Jobs that run where they are submitted."""

from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import sniffio

import upnext
from upnext import JobStatus, TaskExecutionError, Worker, get_current_context
from upnext.errors import ConfigurationError
from upnext.testing import inline


@pytest.fixture
def worker() -> Worker:
    return Worker("inline", redis_url="redis://127.0.0.1:1")


def test_a_sync_task_runs_in_the_callers_thread_without_an_event_loop(worker) -> None:
    @worker.task
    def work(n: int) -> int:
        with pytest.raises(sniffio.AsyncLibraryNotFoundError):
            sniffio.current_async_library()
        threads.append(threading.current_thread())
        return n + 1

    threads = []
    with inline() as queue:
        future = work.submit_sync(1)
        assert threads == [threading.current_thread()]
        assert future.status_sync() is JobStatus.COMPLETE
        assert future.value_sync() == 2
        assert work.wait_sync(2).value == 3
        queue.assert_completed(work, count=2)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_task_gets_an_event_loop_where_there_is_none(worker, backend) -> None:
    @worker.task
    async def work() -> str:
        await anyio.lowlevel.checkpoint()
        return sniffio.current_async_library()

    with inline(backend=backend):
        assert work.wait_sync().value == backend


async def test_in_an_event_loop_it_is_awaited_there(worker) -> None:
    here = anyio.get_current_task().id

    @worker.task
    async def work() -> bool:
        await anyio.lowlevel.checkpoint()
        return anyio.get_current_task().id == here

    @worker.task
    def sync_work() -> bool:
        return work.submit_sync().value_sync()  # in a loop of its own: this one stands still

    with inline() as queue:
        future = await work.submit()
        assert await future.status() is JobStatus.COMPLETE
        assert await future.value() is True
        assert (await work.wait()).value is True
        assert (await sync_work.wait()).value is False
        assert await anyio.to_thread.run_sync(sync_work.wait_sync) is not None
        queue.assert_all_completed()


async def test_a_job_is_a_whole_one(worker) -> None:
    said = []

    @worker.task(
        retries=2,
        retry_delay=3600,
        on_start=lambda context: said.append(f"start {context.attempt}"),
        on_retry=lambda context, error: said.append(f"retry {error}"),
        on_success=lambda context, value: said.append(f"success {value}"),
    )
    async def flaky(text: str) -> str:
        context = get_current_context()
        if context.attempt < 3:
            raise ValueError(text)
        child = await leaf.wait()
        return f"{child.value == context.root_id} after {context.attempt}"

    @worker.task
    def leaf() -> str:
        return get_current_context().root_id

    with inline() as queue:
        result = await flaky.options(delay=3600).wait("no")
        assert (result.value, result.attempts) == ("True after 3", 3)
        assert said == [
            "start 1", "retry no", "start 2", "retry no", "start 3", "success True after 3",
        ]  # fmt: skip
        queue.assert_completed(leaf, count=1)
    with pytest.raises(RuntimeError, match="no job runs here"):
        get_current_context()


async def test_failures_are_for_those_who_wait_or_for_the_submit(worker) -> None:
    @worker.task(retries=1)
    async def fail() -> None:
        raise KeyError("no")

    with inline() as queue:
        future = await fail.submit()
        with pytest.raises(TaskExecutionError, match="KeyError: 'no'"):
            await future.result()
        with pytest.raises(TaskExecutionError):
            fail.wait_sync()
        queue.assert_failed(fail, count=2, error=KeyError)
    with inline(raise_errors=True) as queue:
        with pytest.raises(KeyError):
            await fail.submit()
        with pytest.raises(KeyError):
            fail.submit_sync()
        assert [job.attempts for job in queue.enqueued()] == [2, 2]


def test_what_does_not_fit_the_types_fails_as_it_does_in_a_worker(worker) -> None:
    @worker.task
    def wrong() -> int:
        return object()  # type: ignore[return-value]

    with inline(), pytest.raises(TaskExecutionError, match="the result cannot be stored"):
        wrong.wait_sync()


def test_control_exceptions(worker) -> None:
    @worker.task
    def control(what: str) -> None:
        if what == "discard":
            raise upnext.Discard("no use")
        raise upnext.Snooze(60)

    with inline() as queue:
        with pytest.raises(TaskExecutionError, match="cancelled: no use"):
            control.wait_sync("discard")
        future = control.submit_sync("snooze")
        assert future.status_sync() is JobStatus.SCHEDULED
        with pytest.raises(RuntimeError, match="would wait for ever"):
            future.value_sync()
        queue.assert_enqueued(control, args=("snooze",), status=JobStatus.SCHEDULED)


async def test_many_at_once(worker) -> None:
    @worker.task
    async def double(n: int) -> int:
        return 2 * n

    with inline():
        futures = await upnext.submit_many(double, [(n,) for n in range(5)])
        assert await upnext.gather(*futures) == [0, 2, 4, 6, 8]
        assert await upnext.map_tasks(double, [{"n": 7}]) == [14]


async def test_a_task_whose_worker_is_not_known_is_an_error(worker) -> None:
    @worker.task
    async def work() -> int:
        return 1

    strange = upnext.TaskHandle(work.definition)
    with inline(), pytest.raises(ConfigurationError, match=r"inline\(worker\)"):
        await strange.submit()
    with inline(worker):
        assert (await strange.wait()).value == 1
