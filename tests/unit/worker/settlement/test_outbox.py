from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from tests.support.claimed import an_outcome
from upnext.worker.settlement.outbox import Outbox, OutboxStatistics


async def settled() -> None:
    for _ in range(10):
        await checkpoint()


def test_outcomes_keep_their_order_also_when_a_batch_comes_back() -> None:
    outbox = Outbox(10)
    outcomes = [an_outcome() for _ in range(5)]
    for outcome in outcomes:
        outbox.put(outcome)
    batch = outbox.take(3)
    assert batch == outcomes[:3]
    outbox.put_back(batch)
    assert outbox.take(100) == outcomes


def test_a_full_box_still_takes_what_is_finished() -> None:
    outbox = Outbox(1)
    assert not outbox.full
    outbox.put(an_outcome())
    assert outbox.full
    outbox.put(an_outcome())
    assert outbox.statistics() == OutboxStatistics(2, False)


async def test_all_who_wait_for_room_go_on() -> None:
    outbox = Outbox(1)
    outbox.put(an_outcome())
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(outbox.room)
        await settled()
        outbox.take(1)


async def test_who_waits_for_outcomes_waits_for_that_many() -> None:
    outbox, came = Outbox(10), anyio.Event()

    async def wait() -> None:
        await outbox.arrival(2)
        came.set()

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await settled()
        outbox.put(an_outcome())
        await settled()
        assert not came.is_set()
        outbox.put(an_outcome())


async def test_closed_nobody_waits_for_outcomes_and_it_ends_when_it_is_empty() -> None:
    outbox = Outbox(10)
    outbox.put(an_outcome())
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.arrival, 5)
        await settled()
        outbox.close()
    assert not outbox.ended
    outbox.take(1)
    assert outbox.ended
