"""What jobs say in a whole worker, in virtual time."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

import upnext
from tests.support.tree import Tree, raise_while_cancelled, running, until
from upnext import CancelReason, Discard, JobStatus, Snooze, Worker
from upnext.client.future import Future
from upnext.model.job import Revoked


def make_worker(**options: Any) -> Worker:
    return Worker("test", concurrency=4, **options)


async def lines(future: Future[Any]) -> list[str]:
    return [line.message async for line in future.logs()]


async def test_what_a_job_says_is_written_before_its_end() -> None:
    worker, order = make_worker(), list[str]()

    @worker.task
    async def work() -> None:
        context = upnext.get_current_context()
        context.set_progress(1)
        for n in range(400):
            await context.stream(n)
        context.set_progress(1.5)
        context.send_log("info", "done")

    async with running(worker) as tree:
        report, settle = tree.store.report, tree.store.settle

        async def noting_report(*args: Any) -> Any:
            order.extend("report" for reports in args[1] for _ in reports.reports)
            return await report(*args)

        async def noting_settle(*args: Any) -> Any:
            order.append("settle")
            return await settle(*args)

        tree.store.report, tree.store.settle = noting_report, noting_settle
        future = await work.submit()
        await tree.end_of(future)
        assert order == ["report"] * 403 + ["settle"]
        assert [chunk async for chunk in future.stream()] == list(range(400))
        record = await tree.record(future)
        assert record.progress == 0.015
        assert tree.parts.reporter.mailbox.statistics().jobs == 0
        await tree.stop()


async def test_a_job_that_says_nothing_costs_no_report() -> None:
    worker = make_worker()

    @worker.task
    async def work() -> bool:
        context = upnext.get_current_context()
        return context.said is None

    async with running(worker) as tree:
        tree.store.report = None  # nobody may ask for it
        assert (await work.wait()).value
        assert tree.parts.reporter.mailbox.statistics().jobs == 0
        await tree.stop()


async def test_the_next_attempt_goes_on_from_the_checkpoint() -> None:
    worker, seen = make_worker(), list[Any]()

    @worker.task(retries=2, retry_delay=0)
    async def work() -> int:
        context = upnext.get_current_context()
        seen.append(context.checkpoint_state)
        done = (context.checkpoint_state or {"n": 0})["n"]
        context.checkpoint({"n": done + 1})
        if done < 2:
            raise ValueError("again")
        return done

    async with running(worker) as tree:
        assert (await work.wait()).value == 2
        assert seen == [None, {"n": 1}, {"n": 2}]
        await tree.stop()


async def test_a_job_that_is_handed_back_goes_on_from_its_checkpoint() -> None:
    worker, saved = make_worker(), anyio.Event()

    @worker.task
    async def work() -> Any:
        context = upnext.get_current_context()
        if context.checkpoint_state is None:
            context.set_progress(40)
            try:
                saved.set()
                await anyio.sleep_forever()
            finally:
                context.checkpoint({"why": context.cancel_reason})
        return context.checkpoint_state

    async with running(worker) as tree:
        future = await work.submit()
        await saved.wait()
        await tree.stop_now()
        record = await tree.record(future)
        assert (record.status, record.attempt, record.progress) == (JobStatus.QUEUED, 0, 0.4)
        store = tree.store
    async with running(worker, store=store) as tree:
        assert (await tree.end_of(future)).value == {"why": "shutdown"}
        await tree.stop()


async def cancelled_by_user(tree: Tree, future: Future[Any]) -> None:
    assert await future.cancel("wrong month")


async def cancelled_by_lease(tree: Tree, future: Future[Any]) -> None:
    [job] = tree.parts.running.jobs()
    tree.parts.canceller.revoke(Revoked(job.id, job.delivery, True))


async def cancelled_by_time(tree: Tree, future: Future[Any]) -> None:
    pass


@pytest.mark.parametrize(
    ("by", "options", "reason", "message"),
    [
        (cancelled_by_user, {}, CancelReason.USER, "wrong month"),
        (cancelled_by_lease, {}, CancelReason.LEASE_LOST, "lease lost"),
        (cancelled_by_time, {}, CancelReason.TIMEOUT, ""),
        (cancelled_by_time, {"deadline": 30}, CancelReason.DEADLINE, ""),
    ],
)
async def test_a_job_sees_why_it_is_cancelled(
    by: Any, options: dict[str, Any], reason: CancelReason, message: str
) -> None:
    worker, seen, started = make_worker(), list[Any](), anyio.Event()

    @worker.task(timeout=60)
    async def work() -> None:
        context = upnext.get_current_context()
        seen.append((context.is_cancelled, context.cancel_reason))
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            seen.append((context.cancel_reason, context.cancel_message))

    async with running(worker) as tree:
        future = await work.options(**options).submit()
        await started.wait()
        await by(tree, future)
        await until(lambda: len(seen) == 2)
        assert seen == [(False, None), (reason, message)]
        await tree.stop()


async def test_time_left_runs_down_to_what_ends_first() -> None:
    worker, seen = make_worker(), list[Any]()

    async def on_start(context: upnext.Context) -> None:
        seen.append(context.time_left())

    @worker.task(timeout=60, on_start=on_start)
    async def limited() -> None:
        context = upnext.get_current_context()
        await anyio.sleep(20)
        seen.append(context.time_left())

    @worker.task(timeout=None)
    async def free() -> None:
        seen.append(upnext.get_current_context().time_left())

    async with running(worker) as tree:
        await limited.wait()
        await free.submit()
        await until(lambda: len(seen) == 3)
        await limited.options(deadline=30).wait()
        assert seen[:3] == [60, pytest.approx(40, abs=0.01), None]
        assert seen[3:] == [pytest.approx(30, abs=0.1), pytest.approx(10, abs=0.1)]
        await tree.stop()


async def test_what_a_job_logs_is_in_its_log_alone() -> None:
    worker, log = make_worker(), logging.getLogger("app.reports")
    log.setLevel(logging.INFO)

    @worker.task
    async def work(name: str) -> None:
        log.info("begin %s", name)
        await anyio.sleep(1)
        async with anyio.create_task_group() as group:
            group.start_soon(child, name)
        upnext.get_current_context().log.warning("end %s", name)

    async def child(name: str) -> None:
        log.info("child of %s", name)

    async with running(worker) as tree:
        futures = [await work.submit(name) for name in ("a", "b")]
        for future, name in zip(futures, ("a", "b"), strict=True):
            assert await lines(future) == [f"begin {name}", f"child of {name}", f"end {name}"]
        await tree.stop()


@pytest.mark.parametrize(
    ("by_worker", "by_task", "captured"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
async def test_capturing_logs_can_be_left_out(
    by_worker: bool, by_task: bool | None, captured: bool
) -> None:
    worker = make_worker(capture_logs=by_worker)

    @worker.task(capture_logs=by_task)
    async def work() -> None:
        logging.getLogger("app.reports").warning("logged")
        upnext.get_current_context().send_log("info", "sent")

    async with running(worker) as tree:
        future = await work.submit()
        assert await lines(future) == ["logged", "sent"] if captured else ["sent"]
        await tree.stop()


async def test_hooks_speak_for_their_job() -> None:
    worker = make_worker()

    async def say(context: upnext.Context) -> None:
        context.send_log("info", "hook")

    @worker.task(on_start=say, on_success=say, on_complete=say)
    async def work() -> None:
        upnext.get_current_context().send_log("info", "job")

    async with running(worker) as tree:
        # on_complete comes when the end is written: then nothing is said for the job any more.
        assert await lines(await work.submit()) == ["hook", "job", "hook"]
        await tree.stop()


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        (None, JobStatus.COMPLETE),
        (ValueError("x"), JobStatus.FAILED),
        (Discard(), JobStatus.CANCELLED),
        (Snooze(10**6), JobStatus.SCHEDULED),
    ],
)
async def test_last_words_are_written_however_it_ends(
    ending: BaseException | None, status: JobStatus
) -> None:
    worker = make_worker()

    @worker.task
    async def work() -> None:
        context = upnext.get_current_context()
        context.set_progress(0.5)
        context.set_progress(0.501)
        context.send_log("info", "last")
        if ending is not None:
            raise ending

    async with running(worker) as tree:
        future = await work.submit()
        records = [await tree.record(future)]
        while records[-1].status in (JobStatus.QUEUED, JobStatus.RUNNING):
            await anyio.sleep(0.01)
            records.append(await tree.record(future))
        assert (records[-1].status, records[-1].progress) == (status, 0.501)
        heard = await tree.store.follow(future.job_id, "log", "", 10)
        assert len(heard.entries) == 1
        await tree.stop()


async def test_an_error_together_with_a_cancellation_loses_no_words() -> None:
    worker = make_worker()

    @worker.task(timeout=1)
    async def work() -> None:
        upnext.get_current_context().send_log("info", "here")
        await raise_while_cancelled()

    async with running(worker) as tree:
        future = await work.submit()
        assert await lines(future) == ["here"]
        await tree.stop()


async def test_streaming_waits_for_the_store() -> None:
    worker, sent = make_worker(), list[int]()
    gate = anyio.Event()

    @worker.task
    async def work() -> None:
        context = upnext.get_current_context()
        for n in range(2_000):
            await context.stream(n)
            sent.append(n)

    async with running(worker) as tree:
        report = tree.store.report

        async def slow_report(*args: Any) -> Any:
            await gate.wait()
            return await report(*args)

        tree.store.report = slow_report
        future = await work.submit()
        await anyio.sleep(10)
        assert 256 <= len(sent) < 800, "what is not written is bounded"
        gate.set()
        assert [chunk async for chunk in future.stream()] == list(range(2_000))
        await tree.stop()
