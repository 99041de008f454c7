"""Middleware: what it sees, what it may do, and what it may not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
import pytest

import upnext
from tests.support import process_jobs
from tests.support.tree import raise_while_cancelled, running, until
from upnext import Context, JobStatus, Retry, Snooze, Worker, get_current_context
from upnext.worker.execution.around import around
from upnext.worker.execution.invoke import in_loop


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


async def test_they_nest_in_the_order_of_their_declaration_around_on_start() -> None:
    worker = make_worker()
    said: list[Any] = []

    @worker.middleware
    async def outer(ctx: Context) -> AsyncIterator[None]:
        said.append("outer")
        result = yield
        said.append(("outer", result))

    @worker.middleware
    async def inner(ctx: Context) -> AsyncIterator[None]:
        assert ctx is get_current_context()
        said.append("inner")
        result = yield
        said.append(("inner", result))

    async def say(what: str) -> None:
        said.append(what)

    @worker.task(on_start=partial(say, "start"), on_success=partial(say, "success"))
    async def work() -> set[int]:
        said.append("work")
        return {1}

    async with running(worker) as tree:
        assert (await work.wait()).value == {1}
        assert said == [
            *("outer", "inner", "start", "work"),
            *(("inner", {1}), ("outer", {1}), "success"),
        ]
        await tree.stop()


async def test_one_sees_what_the_job_raises_and_cannot_swallow_it() -> None:
    worker = make_worker()
    seen: list[BaseException] = []

    @worker.middleware
    async def outer(ctx: Context) -> AsyncIterator[None]:
        with pytest.raises(ValueError, match="bad"):
            yield

    @worker.middleware
    async def inner(ctx: Context) -> AsyncIterator[None]:
        try:
            yield
        except ValueError as error:
            seen.append(error)

    @worker.task
    async def work() -> None:
        raise ValueError("bad")

    async with running(worker) as tree:
        ended = await tree.end_of(await work.submit())
        assert ended.failure is not None
        assert (ended.status, ended.failure.message) == (JobStatus.FAILED, "bad")
        assert [str(error) for error in seen] == ["bad"]
        await tree.stop()


@pytest.mark.parametrize("error", [ExceptionGroup("g", [KeyError("k")]), SystemExit(3)])
async def test_one_that_swallows_hides_nothing(error: BaseException) -> None:
    worker = make_worker()

    @worker.middleware
    async def greedy(ctx: Context) -> AsyncIterator[None]:
        with suppress(BaseException):
            yield

    @worker.task
    async def work() -> None:
        raise error

    async with running(worker) as tree:
        ended = await tree.end_of(await work.submit())
        assert ended.failure is not None
        assert ended.failure.type == type(error).__name__
        await tree.stop()


@pytest.mark.parametrize("place", ["before", "after", "instead"])
async def test_what_one_raises_counts_as_the_functions(place: str) -> None:
    worker = make_worker()
    attempts: list[int] = []

    @worker.middleware
    async def strict(ctx: Context) -> AsyncIterator[None]:
        attempts.append(ctx.attempt)
        if len(attempts) == 1 and place == "before":
            raise Snooze(5)
        try:
            yield
        except KeyError as error:
            raise Retry(5) from error
        if len(attempts) == 1 and place == "after":
            raise ConnectionError("late")

    @worker.task(retries=1, retry_delay=5)
    async def work() -> int:
        if place == "instead" and len(attempts) == 1:
            raise KeyError
        return 1

    async with running(worker) as tree:
        assert (await work.wait()).value == 1
        assert attempts == ([1, 1] if place == "before" else [1, 2])
        await tree.stop()


async def test_the_attempts_timeout_is_that_of_its_middleware() -> None:
    worker = make_worker()
    said: list[str] = []

    @worker.middleware
    async def slow(ctx: Context) -> AsyncIterator[None]:
        try:
            yield
        finally:
            said.append("left")

    @worker.middleware
    async def late(ctx: Context) -> AsyncIterator[None]:
        yield
        await anyio.sleep_forever()

    @worker.task(timeout=5)
    async def work() -> None: ...

    async with running(worker) as tree:
        with pytest.raises(upnext.TaskTimeoutError):
            await work.wait()
        assert said == ["left"]
        await tree.stop()


@pytest.mark.parametrize("way", ["swallow", "replace", "mess"])
@pytest.mark.parametrize("cause", ["cancel", "timeout", "hard stop"])
async def test_one_cannot_swallow_a_cancellation(cause: str, way: str) -> None:
    worker = make_worker()
    started = anyio.Event()

    @worker.middleware
    async def outermost(ctx: Context) -> AsyncIterator[None]:
        async with anyio.create_task_group():
            yield

    @worker.middleware
    async def stubborn(ctx: Context) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as raised:
            if way == "replace":
                raise ValueError("not so") from raised

    @worker.task(timeout=5 if cause == "timeout" else None, retries=3)
    async def work() -> None:
        started.set()
        if way == "mess":
            await raise_while_cancelled()
        await anyio.sleep_forever()

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        if cause == "hard stop":
            await tree.stop_now()
            record = await tree.record(job)
            assert (record.status, record.attempt) == (JobStatus.QUEUED, 0)
        elif cause == "cancel":
            await job.cancel()
            assert (await tree.end_of(job)).status is JobStatus.CANCELLED
            await tree.stop()
        elif way != "mess":  # errors of the function's own win over its timeout, as ever
            await until(lambda: tree.parts.running.statistics().running == 0)
            await until_written(tree)
            assert "timed out" in str((await tree.record(job)).error)
            await tree.stop()


async def until_written(tree: Any) -> None:
    await until(lambda: tree.parts.flusher.written)


@pytest.mark.parametrize("says", [True, False])
async def test_one_may_cut_the_job_off_if_it_says_so(says: bool) -> None:
    worker = make_worker()

    @worker.middleware
    async def impatient(ctx: Context) -> AsyncIterator[None]:
        with (anyio.fail_after if says else anyio.move_on_after)(5):
            yield

    @worker.task
    async def work() -> None:
        await anyio.sleep_forever()

    async with running(worker) as tree:
        ended = await tree.end_of(await work.submit())
        assert ended.failure is not None
        if says:
            assert ended.failure.type == "TimeoutError"
        else:
            assert "cancelled the job and raised nothing" in ended.failure.message
        await tree.stop()


async def test_yielding_never_or_twice_fails_the_job_with_a_clear_word() -> None:
    worker = make_worker()
    yields = 0

    @worker.middleware
    async def odd(ctx: Context) -> AsyncIterator[None]:
        for _ in range(yields):
            with suppress(ValueError):
                yield

    @worker.task
    async def work(good: bool) -> None:
        if not good:
            raise ValueError

    async with running(worker) as tree:
        ended = await tree.end_of(await work.submit(True))
        assert ended.failure is not None
        assert "odd does not yield" in ended.failure.message
        yields = 2
        for good in (True, False):
            ended = await tree.end_of(await work.submit(good))
            assert ended.failure is not None
            assert "odd yields more than once" in ended.failure.message
        await tree.stop()


@pytest.mark.parametrize("error", [StopIteration("s"), StopAsyncIteration("s"), SystemExit(3)])
async def test_exceptions_that_generators_treat_in_their_own_way_pass(
    error: BaseException,
) -> None:
    worker = make_worker()

    @worker.middleware
    async def plain(ctx: Context) -> AsyncIterator[None]:
        yield

    @worker.task
    def work() -> None:
        raise error

    async def invoke(*_: Any) -> bytes:
        raise error

    wrapped = around(invoke, middleware=worker.middlewares)
    with pytest.raises((type(error), RuntimeError)):
        await wrapped(work.definition, b"[]", Context(job_id="a"))


async def test_without_any_nothing_is_in_between() -> None:
    worker = make_worker()

    @worker.task
    async def work() -> None: ...

    async with running(worker) as tree:
        assert tree.parts.executor.attempts["work"].invoke is in_loop
        await tree.stop()


def test_what_cannot_be_one_is_refused_at_once() -> None:
    worker = make_worker()
    refused: list[Any] = []

    async def no_generator(ctx: Context) -> None: ...

    async def no_argument() -> AsyncIterator[None]:
        yield

    @asynccontextmanager
    async def wrapped(ctx: Context) -> AsyncIterator[None]:
        yield

    refused += [no_generator, no_argument, wrapped, 3]
    for one in refused:
        with pytest.raises(TypeError, match="is no middleware"):
            worker.middleware(one)
    assert worker.middlewares == []


class TestInThreadsAndProcesses:
    """In real time."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    async def test_around_a_thread(self) -> None:
        worker = make_worker()
        seen: list[Any] = []

        @worker.middleware
        async def look(ctx: Context) -> AsyncIterator[None]:
            result = yield
            seen.append(result)

        @worker.task
        def work(n: int) -> int:
            return 2 * n

        async with running(worker) as tree:
            assert (await work.wait(2)).value == 4
            assert seen == [4]
            await tree.stop()

    async def test_around_a_process_it_runs_in_the_parent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker = process_jobs.worker
        monkeypatch.setattr(worker, "middlewares", [])
        seen: list[Any] = []

        @worker.middleware
        async def look(ctx: Context) -> AsyncIterator[None]:
            try:
                result = yield
            except Exception as error:
                seen.append(str(error))
                raise
            seen.append(result)

        async with running(worker) as tree:
            told = (await process_jobs.who_am_i.wait()).value
            ended = await tree.end_of(await process_jobs.wicked.submit("error"))
            assert ended.status is JobStatus.FAILED
            assert ended.failure is not None
            assert seen == [told, ended.failure.message]
            await tree.stop()
