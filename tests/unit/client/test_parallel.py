"""Many jobs at once."""

from __future__ import annotations

import anyio
import pytest

from upnext.client.parallel import CHUNK, first_completed, gather, map_tasks, submit_many
from upnext.client.result import TaskExecutionError
from upnext.errors import CodecError, QueueFullError
from upnext.model.outcome import Failure
from upnext.model.status import JobStatus
from upnext.store.bounds import Bounds
from upnext.testing import run_worker
from upnext.testing.memory import MemoryStore


@pytest.fixture
def double(tasks):
    @tasks.task
    async def double(n: int) -> int:
        return 2 * n

    return double


async def fail(error: Exception) -> None:
    raise error


async def value(n: int) -> int:
    return n


async def for_ever(ended: list[str]) -> int:
    try:
        await anyio.sleep_forever()
    finally:
        ended.append("cancelled")
    return 0


async def test_gather_keeps_the_order(tasks, double) -> None:
    async with run_worker(tasks):
        futures = [await double.submit(n) for n in (1, 2, 3)]
        assert await gather(*futures, value(7)) == [2, 4, 6, 7]
    assert await gather() == []


async def test_gather_stops_at_the_first_error() -> None:
    ended: list[str] = []
    with pytest.raises(KeyError):
        await gather(for_ever(ended), fail(KeyError("a")))
    assert ended == ["cancelled"]


async def test_gather_returns_errors_in_place(tasks) -> None:
    broken = tasks.task(fail)
    async with run_worker(tasks):
        future = await broken.submit(None)
        got = await gather(value(1), future, fail(KeyError()), return_exceptions=True)
    assert [type(item) for item in got] == [int, TaskExecutionError, KeyError]


async def test_cancelling_gather_cancels_what_it_waits_for() -> None:
    ended: list[str] = []
    async with anyio.create_task_group() as group:

        @group.start_soon
        async def run() -> None:
            await gather(for_ever(ended), for_ever(ended), return_exceptions=True)

        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert ended == ["cancelled"] * 2


async def test_map_tasks(tasks, double) -> None:
    inputs = [{"n": n} if n % 2 else (n,) for n in range(25)]
    async with run_worker(tasks):
        assert await map_tasks(double, inputs, concurrency=4) == [2 * n for n in range(25)]


def broken():
    yield (1,)
    raise KeyError("the input is broken")


@pytest.mark.parametrize(
    ("inputs", "error"), [(["abc"], TypeError), ([(1, 2, 3)], TypeError), (broken, KeyError)]
)
async def test_what_is_wrong_with_an_input_of_map_tasks_is_raised_as_it_is(
    client, double, inputs, error
) -> None:
    with pytest.raises(error):
        await map_tasks(double, inputs() if callable(inputs) else inputs)


async def test_map_tasks_has_no_more_under_way_than_allowed(client, double, hand) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: map_tasks(double, [(n,) for n in range(9)], concurrency=3))
        for _ in range(3):
            await anyio.wait_all_tasks_blocked()
            jobs = await hand.claim()
            assert len(jobs) == 3
            for job in jobs:
                await hand.complete(job)


async def test_map_tasks_stops_at_the_first_error(client, double, hand) -> None:
    inputs = iter([(1,), (2,), (3,), (4,)])

    async def serve() -> None:
        await anyio.wait_all_tasks_blocked()
        await hand.fail((await hand.claim())[0], Failure(type="ValueError", message=""))

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        with pytest.raises(TaskExecutionError):
            await map_tasks(double, inputs, concurrency=2)
    assert list(inputs) == [(3,), (4,)]
    assert client.waiting == 0
    with pytest.raises(ValueError, match="concurrency"):
        await map_tasks(double, [], concurrency=0)


async def test_first_completed() -> None:
    ended: list[str] = []
    assert await first_completed(for_ever(ended), fail(KeyError()), value(3)) == 3
    assert ended in ([], ["cancelled"])  # it may not even have begun
    with pytest.raises(KeyError):
        await first_completed(fail(KeyError()))
    with pytest.raises(ExceptionGroup) as caught:
        await first_completed(fail(KeyError()), fail(ValueError()))
    assert len(caught.value.exceptions) == 2
    with pytest.raises(TimeoutError, match="none of 1"):
        await first_completed(for_ever(ended), timeout=0)
    with pytest.raises(ValueError, match="at least one"):
        await first_completed()


async def test_submit_many_keeps_the_order(client, double, hand) -> None:
    count = 2 * CHUNK + 1
    futures = await submit_many(double, ({"n": n} for n in range(count)))
    assert len({future.job_id for future in futures}) == count
    seen = []
    while jobs := await hand.claim():
        seen += [job.id for job in jobs]
        for job in jobs:
            await hand.complete(job)
    assert seen == [future.job_id for future in futures]
    assert await futures[-1].value() == 2 * (count - 1)
    assert await submit_many(double, []) == []


async def test_submit_many_says_which_input_is_wrong(client, double) -> None:
    for wrong, kind in ((object(), CodecError), (float("nan"), CodecError)):
        with pytest.raises(kind) as caught:
            await submit_many(double, [(1,), (wrong,)])
        assert "input number 1" in caught.value.__notes__[0]
    for wrong in ({"m": 1}, 5, "text"):
        with pytest.raises(TypeError) as caught:
            await submit_many(double, [(1,), wrong])
        assert "input number 1" in caught.value.__notes__[0]


async def test_submit_many_takes_no_key(client, double) -> None:
    with pytest.raises(ValueError, match="idempotency key"):
        await submit_many(double.options(key="k"), [(1,), (2,)])


class TestFull:
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(bounds=Bounds(most_waiting=3))

    async def test_a_full_queue_says_how_many_it_took(self, client, double) -> None:
        with pytest.raises(QueueFullError) as caught:
            await submit_many(double, [(n,) for n in range(5)])
        assert caught.value.__notes__ == ["3 of 5 were accepted"]


async def statuses(*futures) -> list[str]:
    return [str(await future.status()) for future in futures]


async def test_the_jobs_of_losers_are_cancelled(client, double, hand) -> None:
    first, second = [await double.submit(n) for n in (1, 2)]
    await hand.complete((await hand.claim())[0])
    assert await first_completed(first, second, double.wait(3), fail(KeyError())) == 2
    states = [
        record.status for queue in hand.store.queues.values() for record in queue.jobs.values()
    ]
    assert states[0] is JobStatus.COMPLETE
    # The second one was claimed: its worker is told. The third was not even submitted, or waited.
    assert await statuses(second) == ["cancelling"]
    assert set(states[2:]) <= {JobStatus.CANCELLED}
    record = await hand.store.lookup(second.job_id)
    assert client.waiting == 0
    assert record.cancel_requested


async def test_the_jobs_of_losers_that_wait_inside_are_cancelled(client, double, hand) -> None:
    async def indirect() -> int:
        return (await double.wait(5)).value

    async with anyio.create_task_group() as group:
        got: list[int] = []

        @group.start_soon
        async def race() -> None:
            got.append(await first_completed(indirect(), indirect()))

        await anyio.wait_all_tasks_blocked()
        jobs = await hand.claim()
        assert len(jobs) == 2
        await hand.complete(jobs[0])
    assert got == [10]
    record = await hand.store.lookup(jobs[1].id)
    assert record.cancel_requested


async def test_losers_may_go_on(client, double, hand) -> None:
    first, second = [await double.submit(n) for n in (1, 2)]
    await hand.complete((await hand.claim())[0])
    assert await first_completed(first, second, cancel_others=False) == 2
    assert await statuses(second) == ["running"]


async def test_nobody_was_first_and_all_go_on(client, double, hand) -> None:
    job = await double.submit(1)
    with pytest.raises(TimeoutError):
        await first_completed(job, timeout=0)
    assert await statuses(job) == ["queued"]


@pytest.mark.parametrize("cancel_others", [True, False])
async def test_gather_after_an_error_does_as_it_is_told(
    client, double, hand, cancel_others: bool
) -> None:
    job = await double.submit(1)
    with pytest.raises(KeyError):
        await gather(job, fail(KeyError()), cancel_others=cancel_others)
    assert await statuses(job) == ["cancelled" if cancel_others else "queued"]


async def test_a_job_of_somebody_else_is_not_cancelled(client, double, hand) -> None:
    others = await double.submit_idempotent("k", 1)
    assert await first_completed(double.wait_idempotent("k", 2), value(3)) == 3
    assert await statuses(others) == ["queued"]
