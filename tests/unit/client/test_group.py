"""Jobs as the children of a block, seen from outside of jobs; a hand runs them."""

# ruff: noqa: PT012 - what a block raises at its end is what these tests are about

from __future__ import annotations

from typing import Any

import anyio
import pytest
from redis import exceptions as known

import upnext
from tests.support.cancel import cancel_everywhere
from upnext.client.connect import bind
from upnext.errors import CodecError, QueueFullError
from upnext.model.outcome import Ending, Failure
from upnext.model.status import JobStatus
from upnext.store.bounds import Bounds
from upnext.testing.memory import MemoryStore

FAILURE = Failure(type="ValueError", message="no luck")


@pytest.fixture
def double(tasks):
    @tasks.task
    async def double(n: int) -> int:
        return 2 * n

    return double


class Script:
    """Ends jobs by their argument as a test says: each is claimed as soon as it is there."""

    def __init__(self, hand: Any) -> None:
        self.hand = hand
        self.jobs: dict[int, Any] = {}

    async def claimed(self, n: int) -> Any:
        while n not in self.jobs:
            for job in await self.hand.claim():
                args, kwargs = self.hand.tasks.tasks[job.function].definition.arguments.decode(
                    job.arguments
                )
                self.jobs[args[0] if args else kwargs["n"]] = job
            await anyio.lowlevel.checkpoint()
        return self.jobs[n]

    async def complete(self, n: int) -> None:
        await self.hand.complete(await self.claimed(n))

    async def fail(self, n: int) -> None:
        await self.hand.fail(await self.claimed(n), FAILURE)

    async def obey(self, n: int) -> None:
        """End a running job once its cancellation was asked for."""
        job = await self.claimed(n)
        while not (await self.hand.store.lookup(job.id)).cancel_requested:
            await anyio.lowlevel.checkpoint()
        await self.hand.settle(job, Ending.CANCELLED, reason="asked")


@pytest.fixture
def script(hand) -> Script:
    return Script(hand)


async def test_leaving_waits_for_all_and_values_are_there(client, double, hand) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hand.serve, 3)
        async with upnext.group() as g:
            futures = [await g.submit(double, n) for n in range(3)]
        statuses = [await future.status() for future in futures]
        assert statuses == [JobStatus.COMPLETE] * 3
    # No question to the queue any more: the group heard how they ended.
    hand.store.queues.clear()
    assert [await future.value() for future in futures] == [0, 2, 4]
    assert client.waiting == 0


async def test_an_empty_group_is_left_at_once(client) -> None:
    async with upnext.group() as g:
        pass
    assert g.first is None


async def test_one_fails_and_the_others_and_the_block_are_cancelled(client, double, script) -> None:
    left = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(script.obey, 2)
        with pytest.raises(ExceptionGroup) as caught:
            async with upnext.group() as g:
                futures = [await g.submit(double.options(priority=-n), n) for n in (1, 2)]
                await script.claimed(2)
                futures.append(await g.submit(double.options(delay=60), 3))
                tasks.start_soon(script.fail, 1)
                try:
                    await anyio.sleep_forever()
                finally:
                    left.set()
    assert left.is_set()
    [error] = caught.value.exceptions
    assert isinstance(error, upnext.TaskExecutionError)
    assert (error.job_id, error.error) == (futures[0].job_id, "ValueError: no luck")
    assert [await future.status() for future in futures] == [
        JobStatus.FAILED,
        JobStatus.CANCELLED,
        JobStatus.CANCELLED,
    ]
    record = await script.hand.store.lookup(futures[2].job_id)
    assert record.reason == f"another job of its group did not complete: {futures[0].job_id}"
    assert client.waiting == 0


async def test_what_the_block_was_told_of_a_failure_is_not_raised_twice(
    client, double, script
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(script.fail, 1)
        with pytest.raises(ExceptionGroup) as caught:
            async with upnext.group() as g:
                future = await g.submit(double, 1)
                await future.value()
    [error] = caught.value.exceptions
    assert isinstance(error, upnext.TaskExecutionError)


async def test_what_the_block_raises_cancels_the_jobs_and_is_in_the_group(
    client, double, script
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(script.obey, 1)
        with pytest.raises(ExceptionGroup) as caught:
            async with upnext.group() as g:
                running = await g.submit(double, 1)
                await script.claimed(1)
                waiting = await g.submit(double, 2)
                raise KeyError("mine")
    [error] = caught.value.exceptions
    assert isinstance(error, KeyError)
    assert await running.status() is JobStatus.CANCELLED
    record = await script.hand.store.lookup(waiting.job_id)
    assert record.reason == "the block that submitted it raised KeyError"


async def test_wait_all_waits_for_all(client, double, script) -> None:
    async with anyio.create_task_group() as tasks:

        @tasks.start_soon
        async def end() -> None:
            await script.fail(1)
            await script.complete(2)
            await script.fail(3)

        with pytest.raises(ExceptionGroup) as caught:
            async with upnext.group(policy="wait_all") as g:
                futures = [await g.submit(double, n) for n in (1, 2, 3)]
    assert [error.job_id for error in caught.value.exceptions] == [
        futures[0].job_id,
        futures[2].job_id,
    ]
    assert await futures[1].value() == 4


async def test_the_first_wins_and_the_others_are_cancelled(client, double, script) -> None:
    async with anyio.create_task_group() as tasks:

        @tasks.start_soon
        async def end() -> None:
            await script.claimed(3)  # all are submitted
            await script.fail(1)
            await script.complete(2)
            await script.obey(3)

        async with upnext.group(policy="first_wins") as g:
            futures = [await g.submit(double, n) for n in (1, 2, 3)]
            await anyio.sleep_forever()
    assert g.first is not None
    assert (g.first.job_id, g.first.value) == (futures[1].job_id, 4)
    assert await futures[2].status() is JobStatus.CANCELLED


async def test_all_fail_and_nobody_is_first(client, double, script) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(script.fail, 1)
        tasks.start_soon(script.fail, 2)
        with pytest.raises(ExceptionGroup) as caught:
            async with upnext.group(policy="first_wins") as g:
                await g.submit(double, 1)
                await g.submit(double, 2)
    assert len(caught.value.exceptions) == 2
    assert g.first is None


async def test_a_job_that_somebody_else_cancels_has_failed(client, double, script) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with upnext.group() as g:
            future = await g.submit(double, 1)
            await upnext.Future(future.job_id).cancel("not wanted")
    [error] = caught.value.exceptions
    assert error.status is JobStatus.CANCELLED
    assert "not wanted" in str(error)


async def test_cancelling_the_block_cancels_the_jobs(client, double, script) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(script.obey, 1)
        with anyio.CancelScope() as scope:
            async with upnext.group() as g:
                futures = [await g.submit(double, 1)]
                await script.claimed(1)
                futures.append(await g.submit(double, 2))
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        # It has even waited for the running one.
        assert [await f.status() for f in futures] == [JobStatus.CANCELLED] * 2
    assert client.waiting == 0


async def test_cancelled_at_any_moment_no_job_is_left_alone(double) -> None:
    with bind(store := MemoryStore()) as client:

        async def run() -> None:
            with pytest.raises(ExceptionGroup):
                async with upnext.group() as g:
                    await g.submit(double, 1)
                    await g.submit(double.options(delay=60), 2)
                    raise ValueError("it ends by itself, too")

        runs = 0
        async for _ in cancel_everywhere(run):
            runs += 1
            jobs = [job for queue in store.queues.values() for job in queue.jobs.values()]
            assert {job.status for job in jobs} <= {JobStatus.CANCELLED}
            assert client.waiting == 0
        assert runs > 10
        assert len(jobs) > 10


async def test_no_more_than_allowed_are_under_way(client, double, script) -> None:
    submitted: list[int] = []
    async with anyio.create_task_group() as tasks:

        @tasks.start_soon
        async def run() -> None:
            async with upnext.group(max_concurrency=2) as g:
                for n in range(4):
                    await g.submit(double, n)
                    submitted.append(n)

        await script.claimed(1)
        await anyio.wait_all_tasks_blocked()
        assert submitted == [0, 1]
        await script.complete(1)
        await script.claimed(2)
        await anyio.wait_all_tasks_blocked()
        assert submitted == [0, 1, 2]
        for n in (0, 2, 3):
            await script.complete(n)


async def test_what_cannot_be_submitted_takes_no_room(client, double, hand) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hand.serve, 1)
        async with upnext.group(max_concurrency=1) as g:
            with pytest.raises(TypeError):
                await g.submit(double, 1, 2)
            with pytest.raises(CodecError):
                await g.submit(double, object())
            await g.submit(double, 1)


async def test_a_job_that_the_queue_refuses_is_the_blocks_to_handle(tasks) -> None:
    @tasks.task
    async def work(n: int) -> int: ...

    with bind(MemoryStore(bounds=Bounds(most_waiting=1))):
        with pytest.raises(ExceptionGroup) as caught:
            async with upnext.group() as g:
                kept = await g.submit(work, 1)
                await g.submit(work, 2)
        assert isinstance(caught.value.exceptions[0], QueueFullError)
        assert await kept.status() is JobStatus.CANCELLED


async def test_a_job_of_somebody_else_is_waited_for_and_not_cancelled(
    client, double, script
) -> None:
    others = await double.submit_idempotent("k", 1)
    with pytest.raises(ExceptionGroup):
        async with upnext.group() as g:
            joined = await g.submit(double.options(key="k"), 2)
            again = await g.submit(double.options(key="k"), 3)
            assert joined.job_id == again.job_id == others.job_id
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(script.complete, 1)
            raise ValueError("mine")
    assert await others.value() == 2


async def test_a_closed_group_takes_nothing(client, double) -> None:
    async with upnext.group() as g:
        pass
    with pytest.raises(RuntimeError, match="inside its `async with` block"):
        await g.submit(double, 1)


@pytest.mark.parametrize("wrong", [{"policy": "fail_slow"}, {"max_concurrency": 0}])
async def test_what_cannot_be_is_said_at_once(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        async with upnext.group(**wrong):
            raise AssertionError("it began")


async def test_children_have_no_more_time_than_the_block(client, double, script) -> None:
    with anyio.move_on_after(30) as scope:
        async with upnext.group() as g:
            future = await g.submit(double, 1)
            record = await script.hand.store.lookup(future.job_id)
            left = record.deadline - record.created_at
            assert 29_000 < left <= 30_000
            scope.cancel()


async def test_what_the_queue_says_while_a_block_that_failed_is_left_hides_nothing(
    double, monkeypatch
) -> None:
    """The first try to cancel the jobs fails, the second one does not, and their ends are heard."""
    store, fails = MemoryStore(), [known.ConnectionError("out of reach")]
    cancel_trees = store.cancel_trees

    async def failing_once(job_ids, reason):
        if fails:
            raise fails.pop()
        return await cancel_trees(job_ids, reason)

    monkeypatch.setattr(store, "cancel_trees", failing_once)
    with bind(store), pytest.raises(ExceptionGroup) as caught:
        async with upnext.group() as g:
            futures = [await g.submit(double, n) for n in range(3)]
            raise ValueError("mine")
    assert [str(error) for error in caught.value.exceptions] == ["out of reach", "mine"]
    statuses = [(await store.lookup(future.job_id)).status for future in futures]
    assert statuses == [JobStatus.CANCELLED] * 3
