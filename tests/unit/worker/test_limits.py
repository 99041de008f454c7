"""Limits and pauses of whole workers on one store, in virtual time."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack

import anyio
import pytest

import upnext
from tests.support.tree import running, until
from upnext import Worker
from upnext.testing.memory import MemoryStore


class Running:
    """Counts what runs at once."""

    def __init__(self) -> None:
        self.now = self.most = self.started = 0
        self.keys: Counter[str] = Counter()
        self.most_of_a_key = 0
        self.moments: list[float] = []

    async def work(self, seconds: float, key: str = "") -> None:
        self.now, self.started = self.now + 1, self.started + 1
        self.keys[key] += 1
        self.most, self.most_of_a_key = (
            max(self.most, self.now),
            max(self.most_of_a_key, self.keys[key]),
        )
        self.moments.append(anyio.current_time())
        try:
            await anyio.sleep(seconds)
        finally:
            self.now -= 1
            self.keys[key] -= 1


async def test_two_workers_keep_to_one_number_and_use_it() -> None:
    runs, store = Running(), MemoryStore()
    workers = [Worker(f"w{n}", concurrency=4) for n in range(2)]

    async def few() -> None:
        await runs.work(1.0)

    handles = [worker.task(max_concurrency=5)(few) for worker in workers]
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(running(worker, store=store, inbox_size=4))
        began = anyio.current_time()
        jobs = await upnext.submit_many(handles[0], [{}] * 50)
        await upnext.gather(*jobs)
        assert runs.most == 5
        assert anyio.current_time() - began < 11.0  # ten rounds of one second


async def test_a_rate_is_kept_to_the_millisecond_and_nobody_polls() -> None:
    runs, store = Running(), MemoryStore()
    worker = Worker("w", concurrency=4)

    @worker.task(rate_limit="5/10s")
    async def steady() -> None:
        await runs.work(0.0)

    async with running(worker, store=store) as tree:
        asked = 0
        claim = store.claim

        async def counted(*args: object, **options: object) -> object:
            nonlocal asked
            asked += 1
            return await claim(*args, **options)  # type: ignore[arg-type]

        store.claim = counted  # type: ignore[method-assign]
        jobs = await upnext.submit_many(steady, [{}] * 25)
        await upnext.gather(*jobs)
        first = runs.moments[0]
        due = [0.0] * 5 + [2.0 * n for n in range(1, 21)]
        assert [at - first for at in runs.moments] == pytest.approx(due, abs=0.1)
        assert asked <= 40  # one for each start, and the sweeps
        await tree.stop()


async def test_limited_jobs_wait_for_a_slot_in_the_queue_and_not_in_an_inbox() -> None:
    runs = Running()
    worker = Worker("w", concurrency=2)

    @worker.task(max_concurrency=10)
    async def limited() -> None:
        await runs.work(1.0)

    @worker.task
    async def plain() -> None:
        await runs.work(1.0)

    async with running(worker, inbox_size=4) as tree:
        jobs = await upnext.submit_many(limited, [{}] * 6)
        await until(lambda: runs.now == 2)
        assert tree.parts.inbox.statistics().queued == 0
        more = await upnext.submit_many(plain, [{}] * 4)  # not held up by those
        await until(lambda: tree.parts.inbox.statistics().queued)
        await upnext.gather(*jobs, *more)
        await tree.stop()


async def test_each_tenant_has_its_number_and_small_ones_do_not_wait() -> None:
    runs = Running()
    worker = Worker("w", concurrency=4)

    @worker.task(max_concurrency=2, concurrency_key="{order.tenant}")
    async def shared(order: dict[str, str]) -> None:
        await runs.work(1.0, order["tenant"])

    async with running(worker) as tree:
        await upnext.submit_many(shared, [{"order": {"tenant": "big"}}] * 1_000)
        await until(lambda: runs.now == 2)
        began = anyio.current_time()
        await shared.wait({"tenant": "small"})
        assert anyio.current_time() - began < 1.1
        assert runs.most_of_a_key == 2
        await tree.stop_now()


async def test_a_group_keeps_two_tasks_of_two_workers_to_one_number() -> None:
    runs, store = Running(), MemoryStore()
    workers = [Worker(f"w{n}", concurrency=4) for n in range(2)]

    async def one() -> None:
        await runs.work(1.0)

    async def other() -> None:
        await runs.work(1.0)

    handles = [
        worker.task(routing_group="api", group_max_concurrency=3)(function)
        for worker, function in zip(workers, (one, other), strict=True)
    ]
    async with AsyncExitStack() as stack:
        trees = [
            await stack.enter_async_context(running(worker, store=store)) for worker in workers
        ]
        began = anyio.current_time()
        jobs = [job for handle in handles for job in await upnext.submit_many(handle, [{}] * 15)]
        await upnext.gather(*jobs)
        assert runs.most == 3
        assert anyio.current_time() - began < 12.0  # ten rounds of one second
        for tree in trees:
            await tree.stop()
    [group] = store._groups.values()  # pyright: ignore[reportPrivateUsage]
    assert group.held == {}


async def test_a_pause_hands_back_what_has_not_started_and_a_resume_goes_on() -> None:
    runs = Running()
    worker = Worker("w", concurrency=1)

    @worker.task
    async def work() -> None:
        await runs.work(1.0)

    async with running(worker, inbox_size=4) as tree:
        jobs = await upnext.submit_many(work, [{}] * 5)
        await until(lambda: tree.parts.inbox.statistics().queued)
        await upnext.pause(work)
        await anyio.sleep(100)
        assert runs.started == 1
        assert set(await upnext.paused()) == {"work"}
        assert await upnext.resume() == 1
        results = [await job.result() for job in jobs]
        assert {result.attempts for result in results} == {1}
        await tree.stop()


async def test_a_pause_ends_by_itself() -> None:
    worker = Worker("w")

    @worker.task
    async def work() -> None: ...

    async with running(worker) as tree:
        await upnext.pause(worker, until=600)
        began = anyio.current_time()
        await work.wait()
        assert anyio.current_time() - began == pytest.approx(600, abs=1)
        await tree.stop()


async def test_what_can_be_paused() -> None:
    worker = Worker("w")
    with pytest.raises(TypeError, match="a task or a worker can be paused"):
        await upnext.pause("work")  # type: ignore[arg-type]
    assert worker.tasks == {}
