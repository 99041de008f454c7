from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError

from tests.support.cancel import cancel_everywhere
from tests.support.claimed import a_job
from upnext.model.job import Claimed, Job
from upnext.worker.execution.slots import Slots
from upnext.worker.intake.demand import Demand
from upnext.worker.intake.fetcher import SWEEP_INTERVAL, Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.settlement.leases import Leases
from upnext.worker.store_clock import StoreClock


class Queue:
    """Gives what waits, and can lose its replies."""

    def __init__(self, waiting: int = 0) -> None:
        self.waiting = [a_job() for _ in range(waiting)]
        self.given: list[Job] = []
        self.asked: list[list[tuple[str, int]]] = []
        self.prompt: list[bool] = []
        self.recovered = 0
        self.fails = 0
        self.hold: anyio.Event | None = None
        self.inbox: Inbox | None = None
        self.reserved: list[int] = []

    async def claim(
        self, worker: str, wants: Sequence[tuple[str, int]], *, prompt: bool = False
    ) -> Claimed:
        assert self.inbox is not None
        self.reserved.append(self.inbox.statistics().reserved)
        self.asked.append(list(wants))
        self.prompt.append(prompt)
        await checkpoint()
        count = sum(count for _, count in wants)
        jobs, self.waiting = self.waiting[:count], self.waiting[count:]
        self.given += jobs
        if self.hold is not None:
            await self.hold.wait()
        if self.fails:
            self.fails -= 1
            raise LostConnectionError("lost")
        await checkpoint()
        return Claimed(jobs=jobs, now=1000, more=["work"] if len(jobs) == count else [])

    async def recover(self, worker: str, functions: Sequence[str], known: Iterable[str]) -> Claimed:
        self.recovered += 1
        await checkpoint()
        ids = set(known)
        answer = Claimed(jobs=[job for job in self.given if job.id not in ids], now=1000)
        await checkpoint()
        return answer


def make(queue: Any, concurrency: int = 2, prefetch: int = 0, batch: int = 100) -> Fetcher:
    slots = Slots(concurrency, 10)
    inbox = Inbox(slots, prefetch)
    slots.connect(inbox.stir, lambda lent: None)
    queue.inbox = inbox
    return Fetcher(queue, "w", ["work"], inbox, Demand(["work"]), Leases(), StoreClock(), batch)


async def test_it_claims_what_there_is_room_for_and_reserves_that_first() -> None:
    queue = Queue(waiting=10)
    fetcher = make(queue, concurrency=2, prefetch=1)
    with anyio.move_on_after(1):
        await fetcher.run()
    assert queue.asked == [[("work", 3)]]
    assert queue.reserved == [3]
    assert fetcher.inbox.statistics().queued == 3
    assert fetcher.inbox.statistics().reserved == 0
    assert set(fetcher.leases.ids()) == {job.id for job in queue.given}
    assert fetcher.clock.store_time(anyio.current_time()) * 1000 >= 1000


async def test_it_claims_no_more_than_a_batch_at_once() -> None:
    queue = Queue(waiting=10)
    fetcher = make(queue, concurrency=5, batch=2)
    with anyio.move_on_after(1):
        await fetcher.run()
    assert [count for [(_, count)] in queue.asked] == [2, 2, 1]


async def test_it_asks_at_once_for_what_busy_executors_will_want_next() -> None:
    queue = Queue(waiting=10)
    fetcher = make(queue, concurrency=3, prefetch=4, batch=2)
    with anyio.move_on_after(1):
        await fetcher.run()
    assert [count for [(_, count)] in queue.asked] == [2, 2, 2]
    assert queue.prompt == [False, False, True]


async def test_it_sleeps_until_it_hears_of_work_or_a_message_was_probably_lost() -> None:
    queue = Queue()
    fetcher = make(queue)
    async with anyio.create_task_group() as group:
        group.start_soon(fetcher.run)
        await anyio.sleep(SWEEP_INTERVAL / 2)
        assert len(queue.asked) == 1
        fetcher.demand.note("work")
        await anyio.sleep(SWEEP_INTERVAL / 4)
        assert len(queue.asked) == 2
        await anyio.sleep(SWEEP_INTERVAL / 2)
        assert len(queue.asked) == 3
        group.cancel_scope.cancel()


async def test_after_a_lost_reply_it_asks_what_it_owns_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = Queue(waiting=3)
    queue.fails = 1
    fetcher = make(queue, concurrency=2, prefetch=5)
    with anyio.move_on_after(2):
        await fetcher.run()
    assert "cannot claim" in caplog.text
    assert queue.recovered == 1
    assert fetcher.inbox.statistics().queued == 3
    assert fetcher.inbox.statistics().reserved == 0
    assert not fetcher.unknown


async def test_cancelled_between_a_claim_and_its_reply_it_says_so() -> None:
    queue = Queue(waiting=1)
    queue.hold = anyio.Event()
    fetcher = make(queue)
    with anyio.move_on_after(1):
        await fetcher.run()
    assert fetcher.unknown
    assert fetcher.inbox.statistics().reserved == 0
    claimed = await fetcher.recover(fetcher.functions)
    assert claimed.jobs == queue.given
    assert not fetcher.unknown


async def test_wherever_it_is_cancelled_no_job_and_no_room_is_lost() -> None:
    made: list[tuple[Queue, Fetcher]] = []

    async def run() -> None:
        queue = Queue(waiting=5)
        queue.fails = 1
        fetcher = make(queue, concurrency=2, prefetch=10, batch=2)
        made.append((queue, fetcher))
        with anyio.move_on_after(3):
            await fetcher.run()

    async for _ in cancel_everywhere(run):
        queue, fetcher = made.pop()
        assert fetcher.inbox.statistics().reserved == 0
        jobs = fetcher.inbox.empty()
        if fetcher.unknown:
            jobs += (await fetcher.recover(fetcher.functions)).jobs
        assert sorted(job.id for job in jobs) == sorted(job.id for job in queue.given)


async def test_a_claim_that_never_reached_the_store_says_nothing_of_its_time() -> None:
    queue = Queue()
    fetcher = make(queue)
    fetcher.clock.set(60_000)
    at = fetcher.clock.loop_time(70_000)

    async def no_permit(*_: object, **__: object) -> Claimed:
        return Claimed()

    queue.claim = no_permit
    with anyio.move_on_after(1):
        await fetcher.run()
    assert fetcher.clock.loop_time(70_000) == at


async def test_without_room_it_has_nothing_to_prove() -> None:
    queue = Queue(waiting=1)
    fetcher = make(queue, concurrency=1)
    async with anyio.create_task_group() as group:
        group.start_soon(fetcher.run)
        await anyio.sleep(100)
        assert fetcher.claimed_at > anyio.current_time() - 1
        await fetcher.inbox.receive()
        fetcher.inbox._slots.give()  # pyright: ignore[reportPrivateUsage]
        await checkpoint()
        assert fetcher.claimed_at > anyio.current_time() - 1
        queue.fails = 1000
        await anyio.sleep(100)
        assert fetcher.claimed_at < anyio.current_time() - 50
        group.cancel_scope.cancel()
    assert fetcher.claimed_at > anyio.current_time()


async def test_it_sweeps_however_busy_it_is_with_one_function() -> None:
    queue = Queue(waiting=1000)
    fetcher = make(queue)
    fetcher.demand = Demand(["work", "other"])
    async with anyio.create_task_group() as group:
        group.start_soon(fetcher.run)
        for _ in range(3):
            asked_before = len(queue.asked)
            until = anyio.current_time() + 2 * SWEEP_INTERVAL
            while anyio.current_time() < until:
                await anyio.sleep(SWEEP_INTERVAL / 10)
                fetcher.inbox.empty()
            asked = [name for wants in queue.asked[asked_before:] for name, _ in wants]
            assert "other" in asked
        group.cancel_scope.cancel()


async def test_every_answered_claim_is_a_proof() -> None:
    fetcher = make(Queue())
    async with anyio.create_task_group() as group:
        group.start_soon(fetcher.run)
        await anyio.sleep(100)
        assert fetcher.claimed_at >= anyio.current_time() - 2 * SWEEP_INTERVAL
        group.cancel_scope.cancel()


async def test_in_doubt_it_asks_what_it_owns_even_without_room() -> None:
    queue = Queue(waiting=1)
    fetcher = make(queue, concurrency=1)
    async with anyio.create_task_group() as group:
        group.start_soon(fetcher.run)
        await anyio.sleep(1)
        assert fetcher.inbox.free == 0
        unheard = a_job()
        queue.given.append(unheard)
        fetcher.doubt()
        await anyio.sleep(1)
        assert unheard.id in fetcher.leases.ids()
        assert not fetcher.unknown
        group.cancel_scope.cancel()


async def test_a_doubt_during_a_claim_outlives_its_reply() -> None:
    queue = Queue()
    fetcher = make(queue)
    async with anyio.create_task_group() as group:
        queue.hold = anyio.Event()
        group.start_soon(fetcher.run)
        await anyio.sleep(1)
        fetcher.doubt()
        queue.hold.set()
        await anyio.sleep(1)
        assert queue.recovered == 1
        group.cancel_scope.cancel()


async def test_what_is_handed_over_while_it_asks_is_taken_once() -> None:
    queue, handed = Queue(), a_job()
    fetcher = make(queue)

    async def recover(*_: object) -> Claimed:
        assert fetcher.take(handed)  # the message overtakes the answer
        await checkpoint()
        return Claimed(jobs=[handed], now=1000)

    queue.recover = recover
    fetcher.doubt()
    with anyio.move_on_after(1):
        await fetcher.run()
    assert fetcher.inbox.statistics().queued == 1


async def test_a_sweep_finds_a_job_that_was_handed_over_unheard() -> None:
    queue = Queue()
    fetcher = make(queue)
    async with anyio.create_task_group() as group:
        group.start_soon(fetcher.run)
        await anyio.sleep(1)
        queue.given.append(a_job())
        await anyio.sleep(SWEEP_INTERVAL)
        assert fetcher.inbox.statistics().queued == 1
        group.cancel_scope.cancel()
