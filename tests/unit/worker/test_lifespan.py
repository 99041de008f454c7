"""A worker's lifespan: opened before the first job, closed after the last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest

from tests.support import process_jobs
from tests.support.tree import running, until
from upnext import ConfigurationError, Context, JobStatus, Worker, get_current_context
from upnext.settings import QueueSettings
from upnext.testing.memory import MemoryStore
from upnext.worker.compose import compose
from upnext.worker.lifespan import CLOSE_LIMIT, UNWIND_LIMIT, Life, LifespanError
from upnext.worker.shutdown import Shutdown
from upnext.worker.supervisor import run_worker


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


@pytest.mark.parametrize("wrap", [asynccontextmanager, lambda function: function])
async def test_it_surrounds_all_jobs_and_their_settlement(wrap: Any) -> None:
    said: list[Any] = []
    store = MemoryStore()

    async def lifespan(worker: Worker) -> AsyncIterator[dict[str, int]]:
        await anyio.sleep(5)
        said.append(("open", worker.name, len(store.queues)))
        yield {"a": 1}
        said.append(("close", (await store.lookup(job.job_id)).status))

    worker = make_worker(lifespan=wrap(lifespan))

    async def hook(ctx: Context) -> None:
        said.append(ctx.state)

    @worker.middleware
    async def look(ctx: Context) -> AsyncIterator[None]:
        said.append(ctx.state)
        yield

    @worker.task(on_start=hook, on_complete=hook)
    async def work() -> None:
        said.append(get_current_context().state)
        await anyio.sleep(1)

    async with running(worker, store=store) as tree:
        job = await work.submit()
        await until(lambda: len(said) >= 4)
        await tree.stop()
        assert said == [("open", "test", 0), *[{"a": 1}] * 4, ("close", JobStatus.COMPLETE)]


async def test_a_hard_stop_closes_it_too() -> None:
    said: list[str] = []
    started = anyio.Event()

    async def lifespan(_: Worker) -> AsyncIterator[None]:
        yield
        await anyio.sleep(1)
        said.append("closed")

    worker = make_worker(lifespan=lifespan)

    @worker.task
    async def work() -> None:
        started.set()
        await anyio.sleep_forever()

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        await tree.stop_now()
        assert said == ["closed"]
        assert (await tree.record(job)).status is JobStatus.QUEUED


async def test_what_it_has_under_way_is_over_when_it_fails_and_jobs_are_drained() -> None:
    fail, started, proceed = anyio.Event(), anyio.Event(), anyio.Event()

    async def background() -> None:
        await fail.wait()
        raise ZeroDivisionError("the pool is gone")

    async def lifespan(_: Worker) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(background)
            yield

    worker = make_worker(lifespan=lifespan)

    @worker.task
    async def work() -> None:
        started.set()
        await proceed.wait()

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        fail.set()
        await until(lambda: tree.shutdown.draining)
        proceed.set()
        await tree.ended.wait()
        assert isinstance(tree.error, LifespanError)
        assert "failed while the worker ran: ExceptionGroup" in str(tree.error)
        assert (await tree.record(job)).status is JobStatus.COMPLETE
        tree.is_clean()


async def test_it_is_closed_when_results_cannot_be_written() -> None:
    closed = anyio.Event()

    async def lifespan(_: Worker) -> AsyncIterator[None]:
        yield
        closed.set()

    worker = make_worker(lifespan=lifespan)

    @worker.task
    async def work() -> None: ...

    async with running(worker) as tree:

        async def crash(*_: object) -> None:
            raise ZeroDivisionError("the flusher is broken")

        tree.store.settle = crash
        await work.submit()
        await tree.ended.wait()
        assert isinstance(tree.error, ExceptionGroup)
        assert tree.error.subgroup(ZeroDivisionError)
        assert closed.is_set()


class Stuck:
    """Notes what `on_stuck` is told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.told = anyio.Event()

    async def __call__(self, names: list[str]) -> None:
        self.names = names
        self.told.set()


async def alone(lifespan: Any, stuck: Any = None) -> Life:
    """Open and close a lifespan with nothing in between."""
    worker = make_worker(lifespan=lifespan)
    assert worker.lifespan is not None
    life = Life("test", partial(worker.lifespan, worker))
    async with anyio.create_task_group() as group:
        group.start_soon(life.run, Shutdown(1))
        await life.opened.wait()
        await life.close(stuck or Stuck())
    return life


@pytest.mark.parametrize("error", [OSError("no\ndatabase"), SystemExit(3), KeyError()])
async def test_a_failure_at_the_start_ends_the_worker_with_one_line(error: BaseException) -> None:
    runs: list[int] = []

    async def lifespan(_: Worker) -> AsyncIterator[None]:
        raise error
        yield

    worker = make_worker(lifespan=lifespan)

    @worker.task
    async def work() -> None:
        runs.append(1)

    store = MemoryStore()
    started: list[Any] = []
    with pytest.raises(ExceptionGroup) as caught:
        async with running(worker, store=store, change=started.append) as _:
            raise AssertionError("not reached")
    assert caught.group_contains(RuntimeError)  # the tree ended before it said that it started
    life = started[0].life
    assert life.error is not None
    said = " ".join(str(life.error).split())
    assert str(life.error) == said
    assert said.startswith(f"the lifespan failed at the start: {type(error).__name__}")
    assert f"{__file__}:" in said
    assert runs == []


async def test_one_that_yields_never_or_twice_is_an_error() -> None:
    async def never(_: Worker) -> AsyncIterator[None]:
        if _ is None:
            yield

    async def twice(_: Worker) -> AsyncIterator[None]:
        yield
        yield

    def broken(_: Worker) -> Any:
        return 3

    for lifespan, when in ((never, "at the start"), (twice, "while it closed"), (broken, "start")):
        life = await alone(lifespan)
        assert life.error is not None
        assert when in str(life.error)


@pytest.mark.parametrize("early", [True, False])
async def test_a_stop_while_it_opens_cancels_that(early: bool) -> None:
    opening, cleaned = anyio.Event(), anyio.Event()

    async def lifespan(_: Worker) -> AsyncIterator[None]:
        opening.set()
        try:
            if not early:
                await anyio.sleep_forever()
            yield
        finally:
            cleaned.set()

    worker, store = make_worker(lifespan=lifespan), MemoryStore()
    assert worker.lifespan is not None
    parts = compose(
        name="test",
        definitions={},
        store=store,
        keys=store.keys,
        queue=QueueSettings(),
        concurrency=1,
        max_waiting=1,
        sync_executor=worker.sync_executor,
        open_blocking_store=None,
        lifespan=partial(worker.lifespan, worker),
    )
    shutdown = Shutdown(30)

    async def stop() -> None:
        await opening.wait()
        shutdown.begin_drain()

    if early:  # before its task has had a turn
        shutdown.begin_drain()
    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        report = await run_worker(parts, shutdown, Stuck())
    assert report.clean
    assert cleaned.is_set()


async def test_closing_it_is_bounded() -> None:
    async def lifespan(_: Worker) -> AsyncIterator[None]:
        yield
        await anyio.sleep_forever()

    began = anyio.current_time()
    life = await alone(lifespan)
    assert anyio.current_time() - began == pytest.approx(CLOSE_LIMIT, abs=0.1)
    assert "did not close within 10 s" in str(life.error)


async def test_one_that_swallows_its_cancellation_is_named() -> None:
    stuck = Stuck()

    async def lifespan(_: Worker) -> AsyncIterator[None]:
        yield
        with anyio.CancelScope(shield=True):
            await stuck.told.wait()

    began = anyio.current_time()
    await alone(lifespan, stuck)
    assert stuck.names == ["the lifespan of test"]
    assert anyio.current_time() - began == pytest.approx(CLOSE_LIMIT + UNWIND_LIMIT, abs=0.1)


async def test_a_worker_without_one_has_no_state_and_no_life() -> None:
    worker = make_worker()

    @worker.task
    async def work() -> bool:
        return get_current_context().state is None

    async with running(worker) as tree:
        assert (await work.wait()).value
        assert tree.parts.life is None
        await tree.stop()


def test_what_cannot_be_one_is_refused() -> None:
    nothing: Any = 3
    with pytest.raises(ConfigurationError, match="lifespan must be a function, not 3"):
        Worker(lifespan=nothing)


def test_the_state_stays_in_its_process() -> None:
    context = Context(job_id="a")
    context.state = object()
    assert context.portable().state is None
    assert context.state is not None
    assert process_jobs.worker.lifespan is None
