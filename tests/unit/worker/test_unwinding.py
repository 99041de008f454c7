"""A cancelled tree in a whole worker: nothing starts, all unwinds, parents end last."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import upnext
from tests.support.tree import running, until
from upnext import JobStatus, Worker
from upnext.worker.execution import unwinding


def status_order(tree: Any) -> list[str]:
    """The names of tasks in the order in which their jobs ended."""
    return [
        event["id"].partition("-")[0]
        for queue in tree.store.queues.values()
        for event in queue.events
        if event["type"] == "cancelled"
    ]


async def test_a_parent_is_cancelled_when_its_children_have_unwound() -> None:
    worker = Worker("test", concurrency=2)
    started, unwound = anyio.Event(), anyio.Event()

    @worker.task
    async def leaf() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):  # it takes its time
                await unwound.wait()

    @worker.task
    async def parent() -> None:
        await leaf.submit()
        await anyio.sleep_forever()

    @worker.task
    async def other() -> str:
        return "had a slot"

    async with running(worker) as tree:
        top = await parent.submit()
        await started.wait()
        [below] = await top.unfinished()
        assert await top.status() is JobStatus.RUNNING
        assert await top.cancel("enough")
        await until(lambda: tree.parts.slots.statistics().lent)
        assert await top.status() is JobStatus.CANCELLING
        assert await top.unfinished() == [below]
        assert await other.wait() is not None, "the parent holds no slot"
        unwound.set()
        ended = await tree.end_of(top)
        assert (ended.status, ended.reason) == (JobStatus.CANCELLED, "enough")
        record = await tree.record(below)
        assert (record.status, record.reason) == (JobStatus.CANCELLED, "enough")
        assert record.finished_at <= ended.finished_at
        assert await top.unfinished() == []
        await tree.stop()


async def test_only_what_is_below_is_cancelled() -> None:
    worker = Worker("test", concurrency=5)
    jobs: dict[str, Any] = {}

    @worker.task
    async def node(name: str, depth: int) -> None:
        if depth:
            for side in "ab":
                jobs[name + side] = await node.submit(name + side, depth - 1)
        await anyio.sleep_forever()

    async with running(worker) as tree:
        jobs["r"] = await node.submit("r", 2)
        await until(lambda: len(jobs) == 7)
        # A worker with five slots for seven jobs: two of them wait.
        await jobs["ra"].cancel("this side")
        for name in ("raa", "rab", "ra"):
            ended = await tree.end_of(jobs[name])
            assert (ended.status, ended.reason) == (JobStatus.CANCELLED, "this side")
        for name in ("r", "rb", "rba", "rbb"):
            assert not (await tree.record(jobs[name])).status.is_terminal()
        await jobs["r"].cancel("the rest")
        for name in ("r", "rb", "rba", "rbb"):
            assert (await tree.end_of(jobs[name])).reason == "the rest"
        await tree.stop()


async def test_alone_means_alone() -> None:
    worker = Worker("test")
    children: list[Any] = []

    @worker.task
    async def child() -> None:
        await anyio.sleep_forever()

    @worker.task
    async def parent() -> None:
        children.append(await child.submit())
        await anyio.sleep_forever()

    async with running(worker) as tree:
        top = await parent.submit()
        await until(lambda: children)
        assert await top.cancel("alone", tree=False)
        assert (await tree.end_of(top)).status is JobStatus.CANCELLED
        assert not (await tree.record(children[0])).status.is_terminal()
        await children[0].cancel()
        await tree.end_of(children[0])
        await tree.stop()


async def test_a_parent_that_waits_for_a_cancelled_child_is_cancelled_not_failed() -> None:
    worker = Worker("test", concurrency=3)
    started = anyio.Event()

    @worker.task
    async def leaf() -> None:
        started.set()
        await anyio.sleep_forever()

    @worker.task(retries=3)
    async def inner() -> None:
        await leaf.wait()

    @worker.task(retries=3)
    async def outer() -> None:
        await inner.wait()

    async with running(worker) as tree:
        top = await outer.submit()
        await started.wait()
        below = await top.unfinished()
        await top.cancel("all of it")
        for job in (top, *below):
            ended = await tree.end_of(job)
            assert (ended.status, ended.reason) == (JobStatus.CANCELLED, "all of it")
        assert len(below) == 2
        await tree.stop()


async def test_children_that_are_submitted_meanwhile_are_refused() -> None:
    worker = Worker("test", concurrency=3)
    refused: list[Exception] = []
    started = anyio.Event()

    @worker.task
    async def child() -> None: ...

    @worker.task
    async def parent() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    await child.submit()
                except upnext.JobRefusedError as error:
                    refused.append(error)

    async with running(worker) as tree:
        top = await parent.submit()
        await started.wait()
        await top.cancel("enough")
        await tree.end_of(top)
        assert "cancelled" in str(refused[0])
        await tree.stop()


async def test_a_worker_that_stops_does_not_wait_for_the_jobs_below() -> None:
    worker = Worker("test", concurrency=2)
    started = anyio.Event()

    @worker.task
    async def leaf() -> None:
        started.set()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3000)

    @worker.task
    async def parent() -> None:
        await leaf.submit()
        await anyio.sleep_forever()

    async with running(worker) as tree:
        top = await parent.submit()
        await started.wait()
        await top.cancel("enough")
        await until(lambda: tree.parts.slots.statistics().lent)
        tree.shutdown.stop_now()
        assert (await tree.end_of(top)).status is JobStatus.CANCELLED


async def test_a_lost_message_only_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the jobs below asks again, now and then."""
    monkeypatch.setattr(unwinding.Unwinding, "_hear", lambda self, payload: None)
    worker = Worker("test", concurrency=2)
    started = anyio.Event()

    @worker.task
    async def leaf() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)

    @worker.task
    async def parent() -> None:
        await leaf.submit()
        await anyio.sleep_forever()

    async with running(worker) as tree:
        top = await parent.submit()
        await started.wait()
        began = anyio.current_time()
        await top.cancel("enough")
        await tree.end_of(top)
        assert 1 <= anyio.current_time() - began < 1.5 + unwinding.LOOK_AGAIN
        await tree.stop()


async def test_a_job_without_children_asks_nothing() -> None:
    worker = Worker("test")
    started, asked = anyio.Event(), []

    @worker.task
    async def lonely() -> None:
        started.set()
        await anyio.sleep_forever()

    async with running(worker) as tree:
        unwind = tree.store.unwind

        async def counted(*args: Any) -> Any:
            asked.append(args)
            return await unwind(*args)

        tree.store.unwind = counted
        job = await lonely.submit()
        await started.wait()
        await job.cancel("enough")
        await tree.end_of(job)
        assert asked == []
        await tree.stop()


async def test_a_late_job_of_a_worker_without_a_free_slot_is_expired() -> None:
    worker = Worker("test", concurrency=1)
    started = anyio.Event()

    @worker.task
    async def long() -> None:
        started.set()
        await anyio.sleep(100)

    async with running(worker) as tree:
        await long.submit()
        await started.wait()
        unheard = await long.options(deadline=2).submit()
        waited = await long.options(deadline=2).submit()
        began = anyio.current_time()
        ended = await tree.end_of(waited)
        assert ended.status is JobStatus.EXPIRED
        assert anyio.current_time() - began < 2.2
        await anyio.sleep(6)  # nobody looks for that one but the sweep
        assert (await tree.store.lookup(unheard.job_id)).status is JobStatus.EXPIRED


async def test_a_late_job_that_no_worker_runs_is_expired_for_those_who_wait() -> None:
    worker, nobody = Worker("test"), Worker("nobody")

    @worker.task
    async def parent() -> str:
        began = anyio.current_time()
        try:
            await orphan.options(deadline=20).wait()
        except upnext.TaskExecutionError as error:
            return f"{error.status} after {anyio.current_time() - began:.0f} s"
        return "?"

    @nobody.task
    async def orphan() -> None: ...

    async with running(worker) as tree:
        assert (await parent.wait()).value == "expired after 20 s"
        await tree.stop()
