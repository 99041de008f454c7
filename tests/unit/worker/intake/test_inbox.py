from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.support.cancel import cancel_everywhere
from tests.support.claimed import a_job
from upnext.model.job import Job
from upnext.worker.execution.slots import Slots
from upnext.worker.intake.inbox import Inbox, InboxStatistics


def make(concurrency: int = 2, prefetch: int = 0) -> tuple[Slots, Inbox]:
    slots = Slots(concurrency, 10)
    inbox = Inbox(slots, prefetch)
    slots.connect(inbox.stir, lambda lent: None)
    return slots, inbox


async def settled() -> None:
    for _ in range(10):
        await checkpoint()


async def test_a_job_comes_with_a_slot() -> None:
    slots, inbox = make()
    job = a_job()
    inbox.deliver([job], 0)
    assert await inbox.receive() is job
    assert slots.free == 1


def test_with_no_prefetch_there_is_room_for_what_can_start_at_once() -> None:
    slots, inbox = make(concurrency=3)
    assert inbox.free == 3
    slots.take()
    assert inbox.free == 2
    inbox.reserve(2)
    assert inbox.free == 0
    inbox.deliver([a_job()], 2)
    assert inbox.free == 1


async def test_starting_a_job_makes_no_room_and_ending_it_does() -> None:
    slots, inbox = make(concurrency=1)
    inbox.deliver([a_job()], 0)
    assert inbox.free == 0
    await inbox.receive()
    assert inbox.free == 0
    slots.give()
    assert inbox.free == 1


async def test_prefetch_is_room_besides() -> None:
    _, inbox = make(concurrency=1, prefetch=2)
    inbox.deliver([a_job(), a_job()], 0)
    assert inbox.free == 1
    await inbox.receive()
    assert inbox.free == 1


async def test_whoever_waits_for_room_goes_on_when_a_slot_comes_free() -> None:
    slots, inbox = make(concurrency=2)
    slots.take(), slots.take()
    async with anyio.create_task_group() as group:
        group.start_soon(inbox.room, 2)
        await settled()
        slots.give()
        await settled()
        assert inbox.free == 1
        slots.give()


async def test_whoever_waits_for_room_goes_on_when_a_job_is_withdrawn() -> None:
    _, inbox = make(concurrency=1)
    job = a_job()
    inbox.deliver([job], 0)
    async with anyio.create_task_group() as group:
        group.start_soon(inbox.room)
        await settled()
        assert inbox.withdraw(job.id, job.delivery) is job


def test_only_that_very_delivery_is_withdrawn() -> None:
    _, inbox = make()
    job = a_job(delivery=2)
    inbox.deliver([job], 0)
    assert inbox.withdraw(job.id, 1) is None
    assert inbox.withdraw("another", 2) is None
    assert inbox.withdraw(job.id, 2) is job
    assert inbox.statistics() == InboxStatistics(0, 0, 0, False)


async def receivers(inbox: Inbox, slots: Slots, count: int, got: list[Job]) -> None:
    async def work() -> None:
        while True:
            try:
                got.append(await inbox.receive())
            except anyio.EndOfStream:
                return
            await checkpoint()
            slots.give()

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(work)


@pytest.mark.parametrize("close_first", [True, False])
async def test_closed_it_gives_what_it_holds_and_then_lets_everybody_go(close_first: bool) -> None:
    # More executors than slots: so it is when slots are lent.
    slots, inbox = make(concurrency=1, prefetch=5)
    jobs, got = [a_job() for _ in range(4)], []
    async with anyio.create_task_group() as group:
        group.start_soon(receivers, inbox, slots, 3, got)
        await settled()
        inbox.deliver(jobs, 0)
        if not close_first:
            await checkpoint()
        inbox.close()
    assert got == jobs
    assert inbox.statistics() == InboxStatistics(0, 0, 0, True)


@pytest.mark.parametrize("how", ["withdraw", "empty"])
async def test_closed_it_lets_everybody_go_when_its_last_job_is_taken_out(how: str) -> None:
    slots, inbox = make(concurrency=1, prefetch=5)
    slots.take()
    job, got = a_job(), []
    async with anyio.create_task_group() as group:
        inbox.deliver([job], 0)
        group.start_soon(receivers, inbox, slots, 3, got)
        await settled()
        inbox.close()
        await settled()
        taken = [inbox.withdraw(job.id, 1)] if how == "withdraw" else inbox.empty()
        assert taken == [job]
        await settled()
        assert inbox.statistics().idle_executors == 3, "a job runs, which may want others"
        slots.give()
    assert got == []


async def test_closed_it_still_takes_what_running_jobs_wait_for() -> None:
    slots, inbox = make(concurrency=2)
    slots.take()
    job, got = a_job(), []
    async with anyio.create_task_group() as group:
        group.start_soon(receivers, inbox, slots, 2, got)
        await settled()
        inbox.close()
        assert inbox.full
        assert not inbox.offer(a_job(), lambda: None), "nobody else hands it anything"
        inbox.reserve(1)
        slots.give()
        await settled()
        assert not inbox.ended, "a claim is under way"
        inbox.deliver([job], 1)
    assert got == [job]
    assert inbox.ended


@pytest.mark.parametrize(
    ("concurrency", "prefetch", "reserved", "accepted", "at_once"),
    [
        (2, 0, 0, True, False),
        (2, 0, 1, True, False),
        (2, 0, 2, True, True),  # the claim under way may leave room over
        (1, 1, 0, True, True),
        (1, 0, 0, False, True),
    ],
)
async def test_what_is_offered_has_a_place_or_not(
    concurrency: int, prefetch: int, reserved: int, accepted: bool, at_once: bool
) -> None:
    slots, inbox = make(concurrency=concurrency, prefetch=prefetch)
    if concurrency == 1:
        slots.take()
    inbox.reserve(reserved)
    told: list[int] = []
    job = a_job()
    assert inbox.offer(job, lambda: told.append(inbox.statistics().queued)) is accepted
    assert told == ([0] if at_once else [])
    inbox.deliver([], reserved)
    if concurrency == 1:
        slots.give()
    assert inbox.take() is (job if accepted else None)
    assert told == [0], "told once: by now it is out of here, if it ever was in"


async def test_it_ends_with_a_job_that_does_not_take_its_slot_back() -> None:
    slots, inbox = make(concurrency=1)
    slots.take()
    slots.lend()
    got: list[Job] = []
    async with anyio.create_task_group() as group:
        group.start_soon(receivers, inbox, slots, 2, got)
        inbox.close()
        await settled()
        assert not inbox.ended
        slots.give_up()
    assert inbox.ended


async def test_no_job_or_slot_is_lost_wherever_a_receiver_is_cancelled() -> None:
    slots, inbox = make(concurrency=1, prefetch=1)
    job = a_job()

    async def receive() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(deliver)
            assert await inbox.receive() is job
            slots.give()

    async def deliver() -> None:
        with anyio.CancelScope(shield=True):
            await settled()
        inbox.deliver([job], 0)

    cancelled = 0
    async for _ in cancel_everywhere(receive):
        assert inbox.statistics().idle_executors == 0
        assert slots.free == 1
        cancelled += len(inbox.empty())
    assert cancelled > 0


async def test_the_turn_of_a_receiver_that_was_cancelled_goes_to_the_next() -> None:
    _, inbox = make(concurrency=1)
    got: list[Job] = []
    scopes = [anyio.CancelScope() for _ in range(3)]

    async def receive(scope: anyio.CancelScope) -> None:
        with scope:
            try:
                got.append(await inbox.receive())
            except anyio.EndOfStream:
                return

    async with anyio.create_task_group() as group:
        for scope in scopes:
            group.start_soon(receive, scope)
            await settled()
        scopes[0].cancel()
        inbox.deliver([a_job()], 0)
        scopes[1].cancel()
        await settled()
        assert len(got) == 1
        assert inbox.statistics().queued == 0
        inbox.close()
