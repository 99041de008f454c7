"""Events through a whole worker."""

from __future__ import annotations

from typing import Any

import anyio

import upnext
from tests.support.tree import running, until
from upnext import JobStatus, Worker
from upnext.model.identity import handler_job_id
from upnext.testing.memory import MemoryStore


async def test_a_handlers_jobs_are_run_with_its_own_options_and_hooks() -> None:
    worker = Worker("test")
    seen: list[tuple[int, int, float | None]] = []
    failed: list[str] = []

    @worker.event("order.paid").on(
        retries=2,
        timeout=7,
        retry_delay=0.5,
        on_failure=lambda ctx, error: failed.append(ctx.event),
    )
    async def flaky() -> None:
        context = upnext.get_current_context()
        seen.append((context.attempt, context.max_attempts, context.timeout))
        raise ValueError

    async with running(worker) as tree:
        event_id = await worker.event("order.paid").send()
        await until(lambda: failed)
        ended = await tree.end_of(handler_job_id("flaky", event_id))
        assert (ended.status, ended.attempt) == (JobStatus.FAILED, 3)
        assert seen == [(1, 3, 7.0), (2, 3, 7.0), (3, 3, 7.0)]
        assert failed == ["order.paid"]
        await tree.stop()


async def test_cancelling_the_senders_tree_reaches_the_handlers_jobs() -> None:
    worker = Worker("test")
    cancelled: list[str] = []

    @worker.event("order.paid").on
    async def endless() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append("endless")

    @worker.task
    async def pay() -> str:
        return await endless.send()

    async with running(worker) as tree:
        paid = await pay.submit()
        event_id = await paid.value()
        await until(lambda: tree.parts.running.names())
        [cancelled_tree] = await tree.store.cancel_trees([paid.job_id], "enough")
        assert cancelled_tree.reached == 1
        ended = await tree.end_of(handler_job_id("endless", event_id))
        assert (ended.status, ended.reason, cancelled) == (
            JobStatus.CANCELLED, "enough", ["endless"],
        )  # fmt: skip
        await tree.stop()


async def test_a_soft_stop_under_a_stream_of_events_ends_soon_and_loses_none() -> None:
    worker = Worker("test", concurrency=8)
    ran: list[int] = []

    @worker.event("tick").on
    async def tick(n: int) -> None:
        ran.append(n)

    store = MemoryStore()
    async with running(worker, store=store) as tree:
        for n in range(500):
            await worker.event("tick").send(n=n)
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() - began < 1
    async with running(worker, store=store) as tree:
        await until(lambda: len(ran) >= 500)
        await tree.stop()
    assert sorted(ran) == list(range(500))


async def test_handlers_run_as_the_senders_children_and_know_their_event() -> None:
    worker = Worker("test")
    seen: list[tuple[str, int, str | None, str | None, str]] = []
    sender_id = ""

    def note(who: str, n: int) -> None:
        context = upnext.get_current_context()
        seen.append((who, n, context.event, context.parent_id, context.root_id))

    @worker.event("order.*").on
    async def audit(n: int, **rest: Any) -> None:
        note("audit", n)

    @worker.event("order.paid").on(retries=1)
    def stock(n: int) -> None:
        note("stock", n)

    @worker.task
    async def pay() -> str | None:
        nonlocal sender_id
        context = upnext.get_current_context()
        sender_id = context.job_id
        await stock.send(7)
        return context.event

    async with running(worker) as tree:
        assert (await pay.wait()).value is None
        await until(lambda: len(seen) == 2)
        assert sorted(seen) == [
            ("audit", 7, "order.paid", sender_id, sender_id),
            ("stock", 7, "order.paid", sender_id, sender_id),
        ]
        [queue] = [q for q in tree.store.queues.values() if q.prefix.endswith(":stock}:")]
        [job] = queue.jobs
        assert (await tree.end_of(job)).status is JobStatus.COMPLETE
        await tree.stop()
