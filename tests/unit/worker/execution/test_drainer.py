"""What a worker that drains asks for, and when."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError

from tests.support.cancel import cancel_everywhere
from tests.support.claimed import a_job
from upnext.contracts.keys import Keys
from upnext.model.identity import new_job_id
from upnext.model.job import Job, Picked, Staged
from upnext.model.outcome import Ending, Outcome
from upnext.worker.execution.awaited import Awaited
from upnext.worker.execution.drainer import MOST_ASKED, RETRY_INTERVAL, Drainer
from upnext.worker.execution.slots import Slots
from upnext.worker.intake.demand import Demand
from upnext.worker.intake.fetcher import Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.settlement.leases import Leases
from upnext.worker.store_clock import StoreClock

FUNCTIONS = ["work", "other", "limited"]


class Stage:
    """A drainer over a store of the test's; its worker has one parent that waits."""

    def __init__(self, concurrency: int = 1) -> None:
        self.slots = Slots(concurrency, 10)
        self.inbox = Inbox(self.slots, 100)
        self.slots.connect(self.inbox.stir, lambda lent: None)
        self.leases = Leases()
        demand, clock = Demand(FUNCTIONS), StoreClock()
        fetcher = Fetcher(self, "w", FUNCTIONS, self.inbox, demand, self.leases, clock, 100)  # pyright: ignore[reportArgumentType]
        self.awaited: Awaited = self.slots.awaited
        self.drainer = Drainer(
            self, Keys(), FUNCTIONS, {"limited"}, fetcher, self.inbox, self.awaited
        )
        self.queued: dict[str, Job] = {}
        self.later: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.staged: list[list[str]] = []
        self.fails = 0
        self.slots.take()  # the parent's

    def put(self, function: str = "work") -> str:
        job = a_job(id=new_job_id(function), function=function)
        self.queued[job.id] = job
        return job.id

    def wait_for(self, *ids: str) -> None:
        """The parent waits for these, too."""
        self.awaited.add(ids)
        if not self.slots.statistics().lent:
            self.slots.lend()

    def end(self) -> None:
        """The parent is over, and whatever else ran."""
        for _ in self.inbox.empty():
            pass
        if self.slots.statistics().lent:
            self.slots.give_up()

    async def pick(self, worker: str, function: str, count: int, ids: Sequence[str]) -> Picked:
        self.asked.append(list(ids))
        assert len(ids) <= MOST_ASKED
        await checkpoint()
        jobs: list[Job] = []
        looked = 0
        for job_id in ids:
            if len(jobs) == count:
                break
            looked += 1
            if job_id in self.queued:
                jobs.append(self.queued.pop(job_id))
        if self.fails:
            self.fails -= 1
            self.queued |= {job.id: job for job in jobs}
            raise LostConnectionError("lost")
        await checkpoint()
        return Picked(jobs, 1000, looked, {i: self.later[i] for i in ids if i in self.later})

    async def stage(self, functions: Sequence[str]) -> list[Staged]:
        self.staged.append(list(functions))
        self.later.clear()
        await checkpoint()
        return []

    async def drain(self) -> None:
        self.inbox.close()
        await self.drainer.run()

    def took(self) -> list[str]:
        return [job.id for job in self.inbox.empty()]


async def test_it_asks_for_what_is_waited_for_the_newest_first() -> None:
    stage = Stage(concurrency=2)
    first, second, third = (stage.put() for _ in range(3))
    stage.put()
    stage.wait_for(first, second, third)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.drain)
        await anyio.sleep(100)
        assert stage.asked == [[third, second, first]], "and no more while there is no slot"
        assert stage.inbox.statistics().queued == 2
        assert stage.took() == [third, second]
        await anyio.sleep(100)
        assert stage.asked[1:] == [[first]]
        assert stage.took() == [first]
        stage.end()


async def test_what_is_waited_for_later_goes_first() -> None:
    stage = Stage()
    old, new = stage.put(), stage.put()
    stage.wait_for(old)
    async with anyio.create_task_group() as group:
        stage.slots.take()
        group.start_soon(stage.drain)
        await anyio.sleep(1)
        assert stage.asked == []
        stage.wait_for(new)
        stage.slots.give()
        await anyio.sleep(1)
        assert stage.took() == [new]
        await anyio.sleep(1)
        assert stage.took() == [old]
        stage.end()


async def test_it_asks_for_nothing_else_and_not_again_and_again() -> None:
    stage = Stage()
    held, elsewhere = stage.put(), new_job_id("work")
    stage.leases.add([stage.queued[held]])
    stage.wait_for(held, elsewhere, "no job id", new_job_id("foreign"))
    gone = stage.put()
    stage.wait_for(gone)
    stage.awaited.remove([gone])
    async with anyio.create_task_group() as group:
        group.start_soon(stage.drain)
        await anyio.sleep(1000)
        assert stage.asked == [[elsewhere]]
        stage.drainer.note(gone)
        await anyio.sleep(1)
        assert len(stage.asked) == 1
        stage.end()


async def test_before_the_drain_it_hears_of_nothing() -> None:
    stage = Stage()
    waited_for = stage.put()
    stage.wait_for(waited_for)
    stage.drainer.note(waited_for)
    stage.drainer.note_all()
    stage.drainer.settled([Outcome(held=a_job().held, ending=Ending.RETRY)])
    await anyio.sleep(1)
    assert stage.asked == []


async def test_one_function_at_a_time_and_no_more_than_a_script_should_look_at() -> None:
    stage = Stage(concurrency=1000)
    works = [stage.put() for _ in range(MOST_ASKED + 10)]
    others = [stage.put("other") for _ in range(2)]
    stage.wait_for(*works, *others)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.drain)
        await anyio.sleep(1)
        asked = [set(ids) for ids in stage.asked]
        assert asked[0] == set(others)
        assert set().union(*asked) == {*works, *others}
        assert sorted(stage.took()) == sorted([*works, *others])
        stage.end()


async def test_what_is_due_later_is_staged_and_asked_for_then() -> None:
    stage = Stage()
    later = stage.put()
    job = stage.queued.pop(later)
    stage.later[later] = 5_000
    stage.wait_for(later)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.drain)
        await anyio.sleep(4.9)
        assert (len(stage.asked), stage.staged) == (1, [])
        stage.queued[later] = job
        await anyio.sleep(0.2)
        assert stage.staged == [["work"]]
        assert stage.took() == [later]
        stage.end()


async def test_it_asks_again_for_what_went_back_and_for_what_a_limit_may_let_start() -> None:
    stage = Stage(concurrency=2)
    back, limited = stage.put(), stage.put("limited")
    jobs = {job_id: stage.queued.pop(job_id) for job_id in (back, limited)}
    stage.wait_for(back, limited)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.drain)
        await anyio.sleep(1)
        assert len(stage.asked) == 2
        stage.drainer.settled([Outcome(held=jobs[back].held, ending=Ending.COMPLETE)])
        await anyio.sleep(1)
        assert len(stage.asked) == 2
        stage.queued |= jobs
        stage.drainer.settled([Outcome(held=jobs[back].held, ending=Ending.RETRY)])
        await anyio.sleep(1)
        assert stage.asked[2:] == [[back]]
        another = a_job(function="limited")
        stage.drainer.settled([Outcome(held=another.held, ending=Ending.COMPLETE)])
        await anyio.sleep(1)
        assert stage.asked[3:] == [[limited]]
        stage.end()


async def test_news_of_a_function_has_it_look_there() -> None:
    stage = Stage(concurrency=2)
    ids = [new_job_id("work"), new_job_id("other")]
    stage.wait_for(*ids)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.drain)
        await anyio.sleep(1)
        stage.asked.clear()
        stage.drainer.note_all("other")
        await anyio.sleep(1)
        assert stage.asked == [[ids[1]]]
        stage.drainer.note_all()
        await anyio.sleep(1)
        assert len(stage.asked) == 3
        stage.end()


async def test_what_failed_is_asked_again_after_a_while() -> None:
    stage = Stage()
    waited_for = stage.put()
    stage.wait_for(waited_for)
    stage.fails = 2
    async with anyio.create_task_group() as group:
        group.start_soon(stage.drain)
        await anyio.sleep(1.9 * RETRY_INTERVAL)
        assert len(stage.asked) == 2
        await anyio.sleep(RETRY_INTERVAL)
        assert stage.took() == [waited_for]
        stage.end()


async def test_wherever_it_is_cancelled_no_job_and_no_room_is_lost() -> None:
    stages: list[Stage] = []

    async def run() -> None:
        stage = Stage(concurrency=2)
        stage.wait_for(*(stage.put() for _ in range(3)))
        stages.append(stage)
        async with anyio.create_task_group() as group:
            group.start_soon(stage.drain)
            await anyio.sleep(1)
            stage.end()

    async for _ in cancel_everywhere(run):
        stage = stages.pop()
        assert stage.inbox.statistics().reserved == 0
        assert stage.drainer.fetcher.unknown or len(stage.leases.ids()) + len(stage.queued) == 3
