"""What jobs in threads and in processes say: real ones, so the time is real, too."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import anyio
import pytest

import upnext
from tests.support import process_jobs
from tests.support.tree import Tree, running
from tests.unit.worker.execution.test_invoke import HANG, seen
from upnext import CancelReason, JobStatus, Worker
from upnext.client.future import Future

CHUNKS = 1_500


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def all_said(tree: Tree, future: Future[Any]) -> tuple[list[Any], list[str], float | None]:
    """Chunks, lines and progress of a job that is over."""
    record = await tree.record(future)
    assert record.status.is_terminal()
    chunks = [chunk async for chunk in future.stream()]
    return chunks, [line.message async for line in future.logs()], record.progress


async def test_a_job_in_a_thread_says_all_it_has_to_say() -> None:
    worker = Worker("threads")

    @worker.task
    def work() -> Any:
        context = upnext.get_current_context()
        for n in range(CHUNKS):
            context.stream_sync(n)
        context.set_progress(50)
        context.set_progress(50.1)
        logging.getLogger("app").warning("logged")
        context.send_log("info", "sent")
        return [context.is_cancelled, context.time_left()]

    async with running(worker) as tree:
        future = await work.submit()
        cancelled, left = (await tree.end_of(future)).value
        assert not cancelled
        assert 1800 - HANG < left <= 1800
        assert await all_said(tree, future) == (list(range(CHUNKS)), ["logged", "sent"], 0.501)
        await tree.stop()


async def test_a_thread_that_speaks_takes_no_other_thread() -> None:
    worker = Worker("threads", concurrency=1)
    written = threading.Event()

    @worker.task
    def work() -> list[str]:
        before = set(threading.enumerate())
        context = upnext.get_current_context()
        for n in range(100):
            context.set_progress(n, f"step {n}")
            context.send_log("info", f"line {n}")
            context.checkpoint({"n": n})
        assert written.wait(HANG)
        return [thread.name for thread in threading.enumerate() if thread not in before]

    async with running(worker) as tree:
        report = tree.store.report

        async def noting(*args: Any) -> Any:
            answer = await report(*args)
            written.set()
            return answer

        tree.store.report = noting
        assert (await work.wait()).value == []
        await tree.stop()


async def test_threads_that_a_job_starts_speak_for_it_when_they_are_given_its_context() -> None:
    worker = Worker("threads")

    @worker.task
    def work() -> None:
        context = upnext.get_current_context()

        def speak(who: int) -> None:
            for n in range(300):
                context.stream_sync([who, n])

        threads = [threading.Thread(target=speak, args=(who,)) for who in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async with running(worker) as tree:
        future = await work.submit()
        await tree.end_of(future)
        chunks, _, _ = await all_said(tree, future)
        for who in range(3):
            assert [n for speaker, n in chunks if speaker == who] == list(range(300))
        await tree.stop()


async def test_a_job_that_runs_a_loop_of_its_own_streams_from_there() -> None:
    worker = Worker("threads")

    @worker.task
    def work() -> None:
        async def inner() -> None:
            for n in range(600):
                await upnext.get_current_context().stream(n)

        anyio.run(inner)

    async with running(worker) as tree:
        future = await work.submit()
        await tree.end_of(future)
        assert (await all_said(tree, future))[0] == list(range(600))
        await tree.stop()


async def test_a_thread_sees_why_it_is_cancelled_and_is_not_heard_after_its_end() -> None:
    worker = Worker("threads")
    started, told, go_on, done = (threading.Event() for _ in range(4))
    reasons: list[Any] = []

    @worker.task
    def work() -> None:
        context = upnext.get_current_context()
        context.send_log("info", "before")
        reasons.append(context.cancel_reason)
        started.set()
        until = time.monotonic() + HANG
        while not context.is_cancelled and time.monotonic() < until:
            time.sleep(0.001)
        reasons.append((context.cancel_reason, context.cancel_message))
        told.set()
        go_on.wait(HANG)
        context.send_log("info", "after")
        for n in range(2_000):
            context.stream_sync(n)
        done.set()

    async with running(worker) as tree:
        future = await work.submit()
        await seen(started)
        await future.cancel("no more")
        await seen(told)
        assert reasons == [None, (CancelReason.USER, "no more")]
        assert (await tree.end_of(future)).status is JobStatus.CANCELLED
        go_on.set()
        await seen(done)
        assert await all_said(tree, future) == ([], ["before"], None)
        assert tree.parts.reporter.mailbox.statistics().jobs == 0
        await tree.stop()


async def test_a_thread_sees_its_timeout_and_a_hard_stop() -> None:
    worker = Worker("threads")
    started = threading.Event()
    reasons: list[Any] = []

    @worker.task(timeout=0.1)
    def late() -> None:
        wait_for_the_end()

    @worker.task
    def stopped() -> None:
        started.set()
        wait_for_the_end()

    def wait_for_the_end() -> None:
        context = upnext.get_current_context()
        until = time.monotonic() + HANG
        while (reason := context.cancel_reason) is None and time.monotonic() < until:
            time.sleep(0.001)
        reasons.append(reason)

    async with running(worker) as tree:
        await tree.end_of(await late.submit())
        future = await stopped.submit()
        await seen(started)
        await tree.stop_now()
        assert (await tree.record(future)).status is JobStatus.QUEUED
    with anyio.fail_after(HANG):
        while len(reasons) < 2:  # noqa: ASYNC110 - a thread that nobody waits for any more
            await anyio.sleep(0.001)
    assert sorted(reasons) == [CancelReason.SHUTDOWN, CancelReason.TIMEOUT]


async def test_a_thread_that_streams_waits_for_the_store() -> None:
    worker = Worker("threads")
    sent: list[int] = []
    gate, crowded = anyio.Event(), threading.Event()

    @worker.task
    def work() -> None:
        context = upnext.get_current_context()
        for n in range(2_000):
            context.stream_sync(n)
            sent.append(n)
            if len(sent) > 200:
                crowded.set()

    async with running(worker) as tree:
        report = tree.store.report

        async def slow_report(*args: Any) -> Any:
            await gate.wait()
            return await report(*args)

        tree.store.report = slow_report
        future = await work.submit()
        await seen(crowded)
        assert len(sent) < 800
        gate.set()
        assert [chunk async for chunk in future.stream()] == list(range(2_000))
        await tree.stop()


async def test_a_job_in_a_process_says_all_it_has_to_say() -> None:
    async with running(process_jobs.worker) as tree:
        for _ in range(2):  # the second time over the same connection
            future = await process_jobs.talk.submit(CHUNKS)
            assert (await tree.end_of(future)).value == [True, False]
            said = await all_said(tree, future)
            assert said == (list(range(CHUNKS)), ["from a process", "sent"], 0.501)
        assert tree.parts.reporter.mailbox.statistics().jobs == 0
        await tree.stop()


@pytest.mark.parametrize("how", ["die", "hang"])
async def test_what_a_process_said_before_it_died_is_kept(how: str) -> None:
    async with running(process_jobs.worker) as tree:
        future = await process_jobs.save_and.submit(how)
        ended = await tree.end_of(future)
        assert (ended.status, ended.value, ended.attempt) == (JobStatus.COMPLETE, {"n": 99}, 2)
        assert (await all_said(tree, future))[0] == list(range(100))
        assert tree.parts.reporter.mailbox.statistics().jobs == 0
        await tree.stop()


async def test_many_processes_speak_at_once() -> None:
    async with running(process_jobs.worker) as tree:
        futures = [await process_jobs.talk.submit(300) for _ in range(4)]
        for future in futures:
            await tree.end_of(future)
            assert (await all_said(tree, future))[0] == list(range(300))
        await tree.stop()


async def test_where_there_is_no_place_to_listen_jobs_in_processes_run_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_place(**_: Any) -> None:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr("tempfile.TemporaryDirectory", no_place)
    async with running(process_jobs.worker) as tree:
        future = await process_jobs.talk.submit(5)
        await tree.end_of(future)
        assert await all_said(tree, future) == ([], [], None)
        await tree.stop()
    assert "jobs in processes cannot report" in caplog.text
