"""Events under `run_worker`: routed by the real router, in virtual time."""

from __future__ import annotations

import anyio

from upnext import Worker
from upnext.settings import QueueSettings
from upnext.testing import run_worker

DAY = 86_400.0


async def test_handlers_run_before_a_drain_is_over(worker) -> None:
    paid = worker.event("order.paid")

    @paid.on
    async def mail(order: int) -> int:
        return order

    async with run_worker(worker) as harness:
        await paid.send(order=1)
        paid.send_sync(order=2)
        await harness.drain()
        harness.assert_completed(mail.task, count=2)


async def test_events_are_heard_after_weeks_in_which_none_came(worker) -> None:
    """No router looks unbidden here: what wakes them, and who handles what, must be kept."""
    other = Worker("other", redis_url=worker.redis_url)
    paid = worker.event("order.paid")

    @paid.on
    async def mail() -> None: ...

    @other.event("order.*").on
    async def audit() -> None: ...

    async with run_worker(worker, other) as harness:
        for _ in range(3):
            await anyio.sleep(30 * DAY)
            before = harness.now()
            await paid.send()
            await harness.drain()
            assert harness.now() == before
        harness.assert_completed(mail.task, count=3)
        harness.assert_completed(audit.task, count=3)


async def test_a_key_of_an_event_counts_for_a_day(worker) -> None:
    paid = worker.event("order.paid")

    @paid.on
    async def mail() -> None: ...

    async with run_worker(worker) as harness:
        first = await paid.send_idempotent("order 1")
        assert await paid.send_idempotent("order 1") == first
        await anyio.sleep(2 * DAY)
        assert await paid.send_idempotent("order 1") != first
        await harness.drain()
        harness.assert_completed(mail.task, count=2)


async def test_an_event_waits_for_a_full_queue_no_longer_than_a_lease(worker) -> None:
    paid = worker.event("order.paid")

    @paid.on
    async def mail() -> None: ...

    settings = QueueSettings(stream_maxlen=1)
    async with run_worker(worker, settings=settings) as harness:
        held = await mail.task.options(delay=60).submit()  # the queue is full of it
        await paid.send()
        await anyio.sleep(5)
        await held.value()
        await anyio.sleep(11)
        harness.assert_completed(mail.task, count=2)
