"""Listeners of a job: nothing missed, nothing twice, nothing left open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.unit.client.test_submit import CountingLender
from upnext import JobNotFoundError, OutputLostError
from upnext.client.connect import bind
from upnext.client.following import MOST_PER_READ
from upnext.client.future import Future
from upnext.model.identity import new_job_id
from upnext.model.job import Held, Job, NewJob
from upnext.model.outcome import Ending, Outcome
from upnext.model.report import Report, ReportKind, Reports
from upnext.model.status import JobStatus
from upnext.store.bounds import Bounds
from upnext.tasks.context import Context, current_context
from upnext.tasks.words import line_of
from upnext.testing.memory import MemoryStore

OUTPUT, LOG, PROGRESS = ReportKind.OUTPUT, ReportKind.LOG, ReportKind.PROGRESS


class Speaker:
    """A job that runs on no worker, and says what a test wants."""

    def __init__(self, store: MemoryStore, job: Job) -> None:
        self.store, self.job = store, job
        self.number = self.chunks = self.lines = 0

    @classmethod
    async def start(cls, store: MemoryStore) -> Speaker:
        new = NewJob(id=new_job_id("work"), function="work", arguments=b"{}")
        await store.enqueue([new])
        return cls(store, await cls.claim(store))

    @staticmethod
    async def claim(store: MemoryStore) -> Job:
        [job] = (await store.claim("w", [("work", 1)])).jobs
        return job

    @property
    def future(self) -> Future[Any]:
        return Future(self.job.id)

    async def stream(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.chunks += 1
            await self.say(OUTPUT, chunk, self.chunks, "json")

    async def log(self, message: str, skip: int = 0) -> None:
        self.lines += 1 + skip
        await self.say(LOG, line_of("INFO", "app", message, {}), self.lines)

    async def progress(self, fraction: bytes, message: str = "") -> None:
        await self.say(PROGRESS, fraction, 0, message)

    async def say(self, kind: ReportKind, payload: bytes, count: int, text: str = "") -> None:
        self.number += 1
        report = Report(kind=kind, payload=payload, text=text, number=self.number, count=count)
        await self.store.report("w", [Reports(self.held, 0, [report])])

    @property
    def held(self) -> Held:
        return self.job.held

    async def end(self, ending: Ending = Ending.COMPLETE) -> None:
        await self.store.settle("w", [Outcome(held=self.held, ending=ending)])

    async def again(self) -> None:
        """Another attempt takes over."""
        await self.end(Ending.RETRY)
        self.job = await self.claim(self.store)
        self.number = self.chunks = self.lines = 0


@asynccontextmanager
async def speaking(**bounds: int) -> AsyncIterator[Speaker]:
    store = MemoryStore(bounds=Bounds(**bounds))
    with bind(store), anyio.fail_after(60):
        yield await Speaker.start(store)
    assert not store._channels._listeners, "an ear is left open"


async def collect(listener: Any, into: list[Any]) -> None:
    async for item in listener:
        into.append(item)  # noqa: PERF401 - one by one, for whoever looks on


async def settled() -> None:
    for _ in range(20):
        await checkpoint()


async def test_a_listener_hears_what_was_said_before_and_after_he_came() -> None:
    async with speaking() as job, anyio.create_task_group() as group:
        heard: list[Any] = []
        await job.stream(b"1", b"2")
        group.start_soon(collect, job.future.stream(), heard)
        await settled()
        assert heard == [1, 2]
        await job.stream(b"3")
        await settled()
        assert heard == [1, 2, 3]
        await job.stream(b"4")
        await job.end()
        await settled()
        assert heard == [1, 2, 3, 4]


async def test_a_listener_after_the_end_hears_all_of_it() -> None:
    async with speaking() as job:
        count = 2 * MOST_PER_READ
        await job.stream(*[b"%d" % n for n in range(count)])
        await job.end()
        assert [chunk async for chunk in job.future.stream()] == list(range(count))
        assert [line async for line in job.future.logs()] == []
        assert [one async for one in job.future.progress()] == []


@pytest.mark.parametrize("kind", ["progress", "logs", "stream"])
async def test_a_listener_of_a_job_that_waits_too_long_hears_its_end(kind: str) -> None:
    """Without a worker nobody else takes notice of the deadline."""
    store = MemoryStore()
    job = NewJob(id=new_job_id("work"), function="work", arguments=b"{}", budget=50)
    with bind(store), anyio.fail_after(60):
        await store.enqueue([job])
        assert [item async for item in getattr(Future[Any](job.id), kind)()] == []
        record = await store.lookup(job.id)
    assert record is not None
    assert record.status is JobStatus.EXPIRED


async def test_a_listener_may_leave_and_another_one_go_on() -> None:
    async with speaking() as job:
        await job.stream(*[b"%d" % n for n in range(5)])
        output = job.future.stream()
        async for chunk in output:
            if chunk == 2:
                break
        assert not job.store._channels._listeners
        await job.end()
        assert [chunk async for chunk in job.future.stream(after=output.position)] == [3, 4]
        assert [chunk async for chunk in output] == [3, 4]
        assert [chunk async for chunk in output] == []


@pytest.mark.parametrize("wrong", ["x", "1-2", "1-2/x", "-1/2"])
async def test_a_position_nobody_named_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="no position"):
        Future[Any]("work-1").stream(after=wrong)


async def test_a_lost_connection_misses_nothing() -> None:
    async with speaking() as job, anyio.create_task_group() as group:
        heard: list[Any] = []
        group.start_soon(collect, job.future.stream(), heard)
        await settled()
        publish = job.store._channels.publish
        job.store.queues[job.store.keys.function("work")].publish = lambda name, message: 0
        await job.stream(b"1")
        await settled()
        assert heard == []
        job.store.queues[job.store.keys.function("work")].publish = publish
        job.store.gap()
        await settled()
        assert heard == [1]
        await job.end()


async def test_another_attempt_shows() -> None:
    async with speaking() as job:
        await job.stream(b"1", b"2")
        await job.again()
        await job.stream(b"1", b"2", b"3")
        await job.end()
        output = job.future.stream()
        heard = [(chunk, output.attempt, output.restarts) async for chunk in output]
        assert heard == [(1, 1, 0), (2, 1, 0), (1, 2, 1), (2, 2, 1), (3, 2, 1)]


async def test_what_is_not_kept_any_more_is_said_and_the_rest_is_heard() -> None:
    async with speaking(output_bytes=500) as job:
        await job.stream(*[b"%d" % n for n in range(1, 11)])
        output = job.future.stream()
        with pytest.raises(OutputLostError, match="6 chunks") as caught:
            await anext(output)
        assert caught.value.missing == 6
        assert await anext(output) == 7
        place = output.position
        await job.stream(*[b"%d" % n for n in range(11, 20)])
        assert await anext(output) == 8, "it was read together with the one before"
        await job.end()
        rest: list[Any] = []
        with pytest.raises(OutputLostError):
            await collect(output, rest)
        await collect(output, rest)
        assert rest == [9, 10, 16, 17, 18, 19]
        with pytest.raises(OutputLostError, match="8 chunks"):
            await anext(job.future.stream(after=place))


async def test_missing_lines_show() -> None:
    async with speaking() as job:
        await job.log("one")
        await job.log("two", skip=7)
        await job.again()
        await job.log("three")
        await job.end()
        lines = [line async for line in job.future.logs()]
        assert [(line.message, line.attempt, line.number, line.missing) for line in lines] == [
            ("one", 1, 1, 0),
            ("two", 1, 9, 7),
            ("three", 2, 1, 0),
        ]
        assert lines[0].at > 0


async def test_a_log_can_be_read_without_waiting() -> None:
    async with speaking() as job:
        assert [line async for line in job.future.logs(follow=False)] == []
        await job.log("one")
        log = job.future.logs(follow=False)
        assert [line.message async for line in log] == ["one"]
        await job.log("two")
        again = job.future.logs(after=log.position, follow=False)
        assert [line.message async for line in again] == ["two"]


async def test_progress_is_heard_when_there_is_news_of_it() -> None:
    async with speaking() as job, anyio.create_task_group() as group:
        heard: list[Any] = []
        group.start_soon(collect, job.future.progress(), heard)
        await settled()
        await job.progress(b"0.25", "a")
        await settled()
        await job.stream(b"1")
        await settled()
        await job.progress(b"0.5", "b")
        await job.progress(b"0.75", "b")
        await settled()
        await job.end()
        await settled()
        assert [(one.fraction, one.message) for one in heard] == [(0.25, "a"), (0.75, "b")]


async def test_nobody_listens_to_a_job_that_is_not_there() -> None:
    with bind(MemoryStore()):
        future = Future[Any](new_job_id("work"))
        for listener in (future.stream(), future.logs(), future.progress()):
            with pytest.raises(JobNotFoundError):
                await anext(listener)


async def test_a_listener_that_is_cancelled_leaves_nothing_and_may_go_on() -> None:
    async with speaking() as job:
        output = job.future.stream()
        with anyio.move_on_after(0) as scope:
            await anext(output)
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(anext, output)
            await settled()
            assert job.store._channels._listeners
            group.cancel_scope.cancel()
        assert not job.store._channels._listeners
        await job.stream(b"1")
        assert await anext(output) == 1


async def test_a_job_that_listens_lends_its_slot() -> None:
    async with speaking() as job, anyio.create_task_group() as group:
        lender = CountingLender()
        context = Context(job_id="parent-1", root_id="parent-1", lender=lender)
        heard: list[Any] = []

        async def listen() -> None:
            current_context.set(context)
            await collect(job.future.stream(), heard)

        group.start_soon(listen)
        await lender.lent.wait()
        await job.stream(b"1")
        await settled()
        await job.end()
        await settled()
        assert heard == [1]
        assert lender.returned >= 1


async def test_sync_code_in_a_thread_of_the_loop_listens_too() -> None:
    async with speaking() as job, anyio.create_task_group() as group:
        heard: list[Any] = []

        def listen() -> None:
            heard.extend(job.future.stream_sync())
            heard.extend(line.message for line in job.future.logs_sync())
            heard.extend(one.fraction for one in job.future.progress_sync())

        group.start_soon(anyio.to_thread.run_sync, listen)
        await job.stream(b"1", b"2")
        await job.log("line")
        await job.progress(b"0.5")
        await job.end()
    assert heard == [1, 2, "line", 0.5]
