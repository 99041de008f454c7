"""A worker that drains sees the trees through that are under way, and takes nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError as LostConnectionError

import upnext
from tests.support.tree import Tree, running
from upnext import JobStatus, Worker
from upnext.worker.execution.drainer import RETRY_INTERVAL

GRACE = 30.0


class Service:
    """A worker whose parents wait until it drains before they wait for children."""

    def __init__(self, concurrency: int = 1, **options: Any) -> None:
        self.worker = Worker("test", concurrency=concurrency, **options)
        self.runs: Counter[str] = Counter()
        self.started = anyio.Event()
        self.draining = anyio.Event()

    async def begin(self, name: str) -> None:
        self.runs[name] += 1
        self.started.set()
        await self.draining.wait()

    async def drain(self, tree: Tree) -> float:
        """Stop softly once a job has started; how many seconds that takes."""
        await self.started.wait()
        began = anyio.current_time()
        tree.shutdown.begin_drain()
        await anyio.sleep(1)
        self.draining.set()
        await tree.ended.wait()
        tree.is_clean()
        return anyio.current_time() - began


async def statuses(tree: Tree, *jobs: Any) -> list[JobStatus]:
    return [(await tree.record(job)).status for job in jobs]


COMPLETE, QUEUED = JobStatus.COMPLETE, JobStatus.QUEUED


@pytest.mark.parametrize("submitted", ["before", "while it drains"])
@pytest.mark.parametrize("prefetch", [0, 10])
async def test_it_takes_the_job_that_a_running_one_waits_for(submitted: str, prefetch: int) -> None:
    service = Service()
    children: list[Any] = []

    @service.worker.task
    async def child(n: int) -> int:
        service.runs["child"] += 1
        return n

    @service.worker.task
    async def parent() -> int:
        if submitted == "before":
            children.append(await child.submit(1))
        await service.begin("parent")
        if submitted != "before":
            children.append(await child.submit(1))
        return await children[0].value()

    async with running(service.worker, grace=GRACE, inbox_size=prefetch) as tree:
        job = await parent.submit()
        assert await service.drain(tree) < 2
        assert await statuses(tree, job, children[0]) == [COMPLETE, COMPLETE]
        assert service.runs == {"parent": 1, "child": 1}
        assert (await tree.record(job)).delivery == 1


async def test_it_takes_nothing_else() -> None:
    service = Service(concurrency=3)

    @service.worker.task
    async def child() -> None: ...

    @service.worker.task
    async def other() -> None: ...

    @service.worker.task
    async def parent() -> list[Any]:
        jobs = [await child.submit() for _ in range(3)]
        await service.begin("parent")
        left = [*jobs[:2], await other.submit(), await child.submit()]
        await jobs[2].value()
        return [job.job_id for job in left]

    # One slot alone, so that nothing is claimed before the drain.
    service.worker.concurrency = 1
    async with running(service.worker, grace=GRACE) as tree:
        job = await parent.submit()
        assert await service.drain(tree) < 2
        left = upnext.Future[Any](job.job_id)
        assert await statuses(tree, *(await left.value())) == [QUEUED] * 4


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_tree_of_four_levels_is_finished(concurrency: int) -> None:
    service = Service(concurrency)

    @service.worker.task
    async def node(level: int) -> int:
        if level == 4:
            await service.begin(f"level {level}")
        else:
            service.runs[f"level {level}"] += 1
        if level == 1:
            return 1
        return sum(await upnext.gather(*[(await node.submit(level - 1)) for _ in range(3)]))

    async with running(service.worker, grace=GRACE) as tree:
        job = await node.submit(4)
        assert await service.drain(tree) < 2
        assert (await tree.record(job)).result == b"27"
        assert service.runs == {"level 4": 1, "level 3": 3, "level 2": 9, "level 1": 27}


@pytest.mark.parametrize("how", ["wait", "wait_sync", "group", "room", "follow", "first", "map"])
async def test_in_whatever_way_a_job_waits(how: str) -> None:
    service = Service()

    @service.worker.task
    async def child(n: int = 0) -> int:
        upnext.get_current_context().set_progress(50)
        return n

    def in_thread() -> None:
        child.wait_sync(1)

    @service.worker.task
    async def parent() -> None:
        await service.begin("parent")
        if how == "wait":
            await child.wait(1)
        elif how == "wait_sync":
            await anyio.to_thread.run_sync(in_thread)
        elif how == "group":
            async with upnext.group() as g:
                await g.submit(child, 1)
        elif how == "room":
            async with upnext.group(max_concurrency=1) as g:
                await g.submit(child, 1)
                await g.submit(child, 2)
        elif how == "follow":
            async for _ in (await child.submit(1)).progress():
                pass
        elif how == "first":
            await upnext.first_completed(child.wait(1), child.wait(2))
        else:
            await upnext.map_tasks(child, [(1,), (2,)], concurrency=1)

    async with running(service.worker, grace=GRACE) as tree:
        job = await parent.submit()
        assert await service.drain(tree) < 5
        assert await statuses(tree, job) == [COMPLETE]


async def test_a_child_that_is_tried_again_is_taken_again() -> None:
    service = Service()

    @service.worker.task(retries=2, retry_delay=3)
    async def child() -> int:
        service.runs["child"] += 1
        if service.runs["child"] < 3:
            raise ValueError("not yet")
        return 1

    @service.worker.task
    async def parent() -> None:
        await service.begin("parent")
        await child.wait()

    async with running(service.worker, grace=GRACE) as tree:
        job = await parent.submit()
        assert 9 < await service.drain(tree) < 11  # its delays are 3 s and 6 s
        assert await statuses(tree, job) == [COMPLETE]
        assert service.runs == {"parent": 1, "child": 3}


async def test_a_child_that_is_due_later_is_taken_then() -> None:
    service = Service()

    @service.worker.task
    async def child() -> None: ...

    @service.worker.task
    async def parent() -> None:
        await service.begin("parent")
        await (await child.options(delay=5).submit()).value()

    async with running(service.worker, grace=GRACE) as tree:
        job = await parent.submit()
        assert 5 < await service.drain(tree) < 7
        assert await statuses(tree, job) == [COMPLETE]


async def test_a_limit_is_kept_to() -> None:
    service = Service(concurrency=4)
    most: list[int] = [0, 0]

    @service.worker.task(max_concurrency=1)
    async def child() -> None:
        most[0] += 1
        most[1] = max(most)
        await anyio.sleep(1)
        most[0] -= 1

    @service.worker.task
    async def parent() -> None:
        await service.begin("parent")
        await upnext.gather(*[child.wait() for _ in range(3)])

    async with running(service.worker, grace=GRACE) as tree:
        job = await parent.submit()
        assert 3 < await service.drain(tree) < 6
        assert await statuses(tree, job) == [COMPLETE]
        assert most == [0, 1]


async def test_a_group_of_functions_is_kept_to() -> None:
    service = Service(concurrency=4)
    most: list[int] = [0, 0]

    @service.worker.task(routing_group="g", group_max_concurrency=1)
    async def child() -> None:
        most[0] += 1
        most[1] = max(most)
        await anyio.sleep(1)
        most[0] -= 1

    @service.worker.task
    async def parent() -> None:
        await service.begin("parent")
        await upnext.gather(*[child.wait() for _ in range(3)])

    async with running(service.worker, grace=GRACE) as tree:
        job = await parent.submit()
        assert 3 < await service.drain(tree) < 6
        assert await statuses(tree, job) == [COMPLETE]
        assert most == [0, 1]


async def test_what_it_may_not_or_cannot_take_ends_with_the_grace() -> None:
    service = Service(concurrency=2)
    elsewhere = Worker("elsewhere")

    @elsewhere.task
    async def foreign() -> None: ...

    @service.worker.task
    async def paused() -> None: ...

    @service.worker.task
    async def parent(which: str) -> None:
        await service.begin("parent")
        await (foreign if which == "foreign" else paused).wait()

    async with running(service.worker, grace=GRACE) as tree:
        await tree.store.pause(["paused"])
        jobs = [await parent.submit("foreign"), await parent.submit("paused")]
        assert await service.drain(tree) == pytest.approx(GRACE, abs=0.1)
        assert await statuses(tree, *jobs) == [QUEUED, QUEUED]


async def test_a_hard_stop_while_it_asks_loses_nothing() -> None:
    service = Service()
    children: list[Any] = []

    @service.worker.task
    async def child() -> None: ...

    @service.worker.task
    async def parent() -> None:
        children.append(await child.submit())
        await service.begin("parent")
        await children[0].value()

    async with running(service.worker, grace=GRACE) as tree:
        pick, picked = tree.store.pick, anyio.Event()

        async def unanswered(*args: Any) -> Any:
            await pick(*args)
            picked.set()
            await anyio.sleep_forever()

        tree.store.pick = unanswered
        job = await parent.submit()
        await service.started.wait()
        tree.shutdown.begin_drain()
        service.draining.set()
        await picked.wait()
        await tree.stop_now()
        records = [await tree.record(one) for one in (job, children[0])]
        assert [(r.status, r.attempt) for r in records] == [(QUEUED, 0), (QUEUED, 0)]


async def test_after_an_error_it_asks_again(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()

    @service.worker.task
    async def child() -> None: ...

    @service.worker.task
    async def parent() -> None:
        await service.begin("parent")
        await child.wait()

    async with running(service.worker, grace=GRACE) as tree:
        pick, refused = tree.store.pick, 0

        async def refuse(*args: Any) -> Any:
            nonlocal refused
            answer = await pick(*args)  # it was done, and nobody heard of it
            if (refused := refused + 1) <= 2:
                raise LostConnectionError("lost")
            return answer

        tree.store.pick = refuse
        job = await parent.submit()
        assert await service.drain(tree) < 2 + 2 * RETRY_INTERVAL
        assert await statuses(tree, job) == [COMPLETE]
    assert "cannot take the jobs" in caplog.text


async def test_an_idle_worker_drains_at_once() -> None:
    service = Service()

    @service.worker.task
    async def work() -> None: ...

    async with running(service.worker, grace=GRACE) as tree:
        await anyio.sleep(1)
        began = anyio.current_time()
        await tree.stop()
        assert anyio.current_time() == began
