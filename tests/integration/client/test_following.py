"""Listening over a real server: from async and sync code, through cuts, beside other listeners."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from redis.exceptions import RedisError

from tests.support.proxy import Proxy
from tests.support.servers import RedisServer
from upnext.client.connect import connect
from upnext.client.future import Future
from upnext.client.sync import blocking_client
from upnext.model.identity import new_job_id
from upnext.model.job import Job, NewJob
from upnext.model.outcome import Ending, Outcome
from upnext.model.report import Report, ReportKind, Reports, Written
from upnext.model.status import JobStatus
from upnext.redis.pool import close_links
from upnext.tasks.words import line_of

CHUNKS = 400
OUTPUT, LOG, PROGRESS = ReportKind.OUTPUT, ReportKind.LOG, ReportKind.PROGRESS


class Writer:
    """The worker's side, on a connection of its own in a thread."""

    def __init__(self, url: str) -> None:
        self.store = blocking_client(url).store
        self.number = 0

    def start(self) -> str:
        new = NewJob(id=new_job_id("work"), function="work", arguments=b"{}")
        self.store.enqueue([new])
        return new.id

    def claim(self) -> Job:
        from upnext.store.claim import claim_call, parse_claimed

        call = claim_call(self.store.keys, self.store.bounds, "w", "work", 1)
        [job] = parse_claimed(["work"], self.store._call.call_many([call])).jobs
        self.number = 0
        return job

    def say(self, job: Job, *reports: Report) -> None:
        from upnext.store.report import parse_written, report_calls

        for report in reports:
            self.number += 1
            report.number = self.number
        batch = [Reports(job.held, 0, list(reports))]
        [(call, _)] = report_calls(self.store.keys, self.store.bounds, "w", batch)
        [reply] = self.store._call.call_many([call])
        assert parse_written(reply) == [Written.APPLIED]

    def settle(self, job: Job, ending: Ending) -> None:
        from upnext.store.settle import settle_calls

        outcome = Outcome(held=job.held, ending=ending)
        [(call, _)] = settle_calls(self.store.keys, self.store.bounds, "w", [outcome])
        self.store._call.call_many([call])

    def perform(self, seed: int, pause: threading.Event) -> None:
        """Two attempts, each of which streams half of the chunks in uneven batches."""
        chance = random.Random(seed)
        for attempt, ending in ((0, Ending.RETRY), (1, Ending.COMPLETE)):
            job, n = self.claim(), 0
            while n < CHUNKS // 2:
                reports: list[Report] = []
                for _ in range(min(chance.randint(1, 9), CHUNKS // 2 - n)):
                    n += 1
                    payload = b"[%d,%d]" % (attempt, n)
                    reports.append(Report(kind=OUTPUT, payload=payload, count=n, text="json"))
                self.say(job, *reports)
                pause.wait(chance.random() / 100)
            self.settle(job, ending)


EXPECTED = [[attempt, n] for attempt in (0, 1) for n in range(1, CHUNKS // 2 + 1)]


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    redis_server.flush()
    with Proxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


@pytest.fixture
def writer(redis_server: RedisServer) -> Writer:
    return Writer(redis_server.url)


@pytest.mark.parametrize("kind", ["progress_sync", "logs_sync", "stream_sync"])
def test_a_blocking_listener_of_a_job_that_waits_too_long_hears_its_end(
    redis_url: str, writer: Writer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_url)
    job = NewJob(id=new_job_id("work"), function="work", arguments=b"{}", budget=50)
    writer.store.enqueue([job])
    assert list(getattr(Future[Any](job.id), kind)()) == []
    record = writer.store.lookup(job.id)
    assert record is not None
    assert record.status is JobStatus.EXPIRED


@pytest.mark.parametrize("seed", range(3))
async def test_a_listener_behind_a_network_that_cuts_reads_what_was_written(
    proxy: Proxy, writer: Writer, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPNEXT_REDIS_URL", proxy.url)
    job_id, chance = writer.start(), random.Random(seed)
    heard: dict[str, list[Any]] = {"one": [], "resumed": []}

    async def listen() -> None:
        output = Future[Any](job_id).stream()
        while len(heard["one"]) < CHUNKS:
            try:
                async for chunk in output:
                    heard["one"].append(chunk)
            except RedisError:
                continue

    async def listen_by_turns() -> None:
        """Goes away every now and then, and comes back with nothing but its place."""
        place = ""
        while len(heard["resumed"]) < CHUNKS:
            output = Future[Any](job_id).stream(after=place)
            leave_after = chance.randint(1, 60)
            try:
                async for chunk in output:
                    heard["resumed"].append(chunk)
                    place = output.position
                    leave_after -= 1
                    if leave_after == 0:
                        break
            except RedisError:
                continue

    async def cut() -> None:
        while True:
            await anyio.sleep(chance.random() / 4)
            proxy.reset()

    try:
        with anyio.fail_after(50):
            async with anyio.create_task_group() as cutting:
                cutting.start_soon(cut)
                async with anyio.create_task_group() as group:
                    group.start_soon(listen)
                    group.start_soon(listen_by_turns)
                    await anyio.to_thread.run_sync(writer.perform, seed, threading.Event())
                cutting.cancel_scope.cancel()
    finally:
        await close_links()
    assert heard["one"] == EXPECTED
    assert heard["resumed"] == EXPECTED


def test_sync_code_listens_without_an_event_loop(
    redis_server: RedisServer, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.flush()
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_server.url)
    future = Future[Any](writer.start())
    thread = threading.Thread(target=writer.perform, args=(1, threading.Event()))
    thread.start()
    assert list(future.stream_sync()) == EXPECTED
    thread.join()
    assert list(future.stream_sync()) == EXPECTED
    assert list(future.logs_sync()) == []
    assert list(future.progress_sync()) == []


async def test_nothing_is_left_open_and_nothing_is_polled(
    redis_server: RedisServer, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_server.flush()
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_server.url)
    future = Future[Any](writer.start())
    job = await anyio.to_thread.run_sync(writer.claim)
    writer.say(job, Report(kind=PROGRESS, payload=b"0.5", text="half"))
    writer.say(job, Report(kind=LOG, payload=line_of("INFO", "app", "line", {}), count=1))
    try:
        async for progress in future.progress():
            assert (progress.percent, progress.message) == (50, "half")
            break
        async for line in future.logs():
            assert (line.level, line.message) == ("INFO", "line")
            break
        store: Any = (await connect()).store
        await store.now()
        with redis_server.client() as outside:
            assert outside.pubsub_channels("*said:*") == []

            def calls() -> int:
                return sum(stats["calls"] for stats in outside.info("commandstats").values())

            async def listen() -> None:
                await anext(future.stream())

            async with anyio.create_task_group() as group:
                group.start_soon(listen)
                with anyio.fail_after(30):
                    while not outside.pubsub_channels("*said:*"):  # noqa: ASYNC110 - the server's
                        await anyio.sleep(0.01)
                await store.now()
                before = calls()
                await anyio.sleep(0.3)
                assert calls() - before == 1, "waiting costs the server nothing but our question"
                group.cancel_scope.cancel()
    finally:
        await close_links()
