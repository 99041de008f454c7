from __future__ import annotations

import logging

import anyio
import pytest
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from tests.support.cancel import cancel_everywhere
from upnext.worker.execution.slots import SlotHolder, Slots, SlotStatistics


def holder(slots: Slots) -> SlotHolder:
    assert slots.take()
    return SlotHolder(slots, "job")


async def settled() -> None:
    for _ in range(10):
        await checkpoint()


def test_no_more_are_taken_than_there_are() -> None:
    slots = Slots(2, 10)
    assert [slots.take() for _ in range(3)] == [True, True, False]
    slots.give()
    assert slots.take()


def test_whoever_waits_for_free_slots_is_told() -> None:
    slots, told = Slots(1, 10), []
    slots.connect(lambda: told.append("free"), lambda lent: told.append(f"lent {lent}"))
    slots.take()
    slots.lend()
    assert told == ["lent 1", "free"]


async def test_a_lent_slot_is_free_inside_the_block_and_taken_again_at_its_end() -> None:
    slots = Slots(1, 10)
    one = holder(slots)
    async with one.lend():
        assert slots.statistics() == SlotStatistics(concurrency=1, free=1, lent=1, returning=0)
    assert slots.statistics() == SlotStatistics(1, 0, 0, 0)
    one.end()
    one.end()
    assert slots.statistics() == SlotStatistics(1, 1, 0, 0)


async def test_the_first_of_several_waits_lends_and_the_last_takes_back() -> None:
    slots = Slots(1, 10)
    one = holder(slots)
    ends = [anyio.Event() for _ in range(3)]

    async def wait(end: anyio.Event) -> None:
        async with one.lend():
            await end.wait()

    async with anyio.create_task_group() as group:
        for end in ends:
            group.start_soon(wait, end)
        await settled()
        for end in ends:
            assert slots.statistics() == SlotStatistics(1, 1, 1, 0)
            end.set()
            await settled()
        assert slots.statistics() == SlotStatistics(1, 0, 0, 0)


async def test_a_lender_that_comes_back_is_served_before_any_new_job() -> None:
    slots = Slots(1, 10)
    told: list[str] = []
    slots.connect(lambda: told.append("free"), lambda lent: None)
    lender = holder(slots)
    async with lender.lend():
        other = holder(slots)
        told.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(slots.take_back)
            await settled()
            assert slots.statistics().returning == 1
            other.end()
            assert told == []
            assert not slots.take()
        slots.lend()
    assert slots.statistics() == SlotStatistics(1, 0, 0, 0)


async def test_a_wait_that_begins_while_the_slot_is_being_taken_back_lends_it_again() -> None:
    slots = Slots(1, 10)
    one = holder(slots)
    ends = [anyio.Event(), anyio.Event()]

    async def wait(end: anyio.Event) -> None:
        async with one.lend():
            await end.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(wait, ends[0])
        await settled()
        other = holder(slots)
        ends[0].set()
        await settled()
        assert slots.statistics().returning == 1
        group.start_soon(wait, ends[1])
        await settled()
        other.end()
        await settled()
        assert slots.statistics() == SlotStatistics(1, 1, 1, 0)
        ends[1].set()
    assert slots.statistics() == SlotStatistics(1, 0, 0, 0)


async def test_cancelled_while_it_takes_back_a_job_has_a_slot_that_is_owed() -> None:
    slots = Slots(1, 10)
    one = holder(slots)
    with anyio.CancelScope() as scope:
        async with one.lend():
            other = holder(slots)
            scope.cancel()
    assert slots.statistics() == SlotStatistics(1, -1, 0, 0)
    other.end()
    assert slots.statistics() == SlotStatistics(1, 0, 0, 0)
    assert not slots.take()
    async with one.lend():  # and it lends it as any other
        assert slots.statistics() == SlotStatistics(1, 1, 1, 0)
    one.end()
    assert slots.statistics() == SlotStatistics(1, 1, 0, 0)


async def test_no_slot_is_lost_or_made_wherever_a_lender_is_cancelled() -> None:
    slots = Slots(1, 10)

    async def job() -> None:
        one = holder(slots)
        try:
            async with one.lend():
                other = holder(slots)
                async with anyio.create_task_group() as group:
                    group.start_soon(end_later, other)
        finally:
            one.end()

    async def end_later(other: SlotHolder) -> None:
        try:
            await settled()
        finally:
            other.end()

    runs = 0
    async for _ in cancel_everywhere(job):
        runs += 1
        assert slots.statistics() == SlotStatistics(1, 1, 0, 0)
    assert runs > 2


async def test_a_job_that_ends_while_a_thread_of_it_still_waits_leaves_no_trace() -> None:
    slots = Slots(1, 10)
    one, end = holder(slots), anyio.Event()

    async def left_behind() -> None:
        async with one.lend():
            await end.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(left_behind)
        await settled()
        one.end()
        assert slots.statistics() == SlotStatistics(1, 1, 0, 0)
        end.set()
    assert slots.statistics() == SlotStatistics(1, 1, 0, 0)


async def test_a_job_that_ends_while_a_thread_of_it_takes_back_leaves_no_trace() -> None:
    slots = Slots(1, 10)
    one, end = holder(slots), anyio.Event()

    async def left_behind() -> None:
        async with one.lend():
            await end.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(left_behind)
        await settled()
        other = holder(slots)
        end.set()
        await settled()
        assert slots.statistics().returning == 1
        one.end()
        other.end()
    assert slots.statistics() == SlotStatistics(1, 1, 0, 0)


async def test_past_max_waiting_a_job_keeps_its_slot(caplog: pytest.LogCaptureFixture) -> None:
    slots = Slots(2, 1)
    one, two = holder(slots), holder(slots)
    async with one.lend():
        with caplog.at_level(logging.WARNING):
            async with two.lend():
                assert slots.statistics() == SlotStatistics(2, 1, 1, 0)
        assert "max_waiting" in caplog.text
    assert slots.statistics() == SlotStatistics(2, 0, 0, 0)


async def test_what_the_loop_does_for_a_thread_ends_with_the_job() -> None:
    job = holder(Slots(1, 1))

    async def wait(*, task_status: TaskStatus[None]) -> None:
        with job.attend() as scope:
            task_status.started()
            await anyio.sleep_forever()
        assert scope.cancelled_caught

    async with anyio.create_task_group() as group:
        for _ in range(2):
            await group.start(wait)
        with job.attend() as scope:  # one that is over before has nothing to fear
            pass
        job.end()
        assert not scope.cancel_called
    with job.attend() as late:  # the thread was left behind and only asks now
        await anyio.sleep_forever()
    assert late.cancelled_caught
