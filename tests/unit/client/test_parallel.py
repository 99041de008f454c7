"""Many jobs at once."""

from __future__ import annotations

import anyio
import pytest

from upnext.client.parallel import CHUNK, first_completed, gather, map_tasks, submit_many
from upnext.client.result import TaskExecutionError
from upnext.errors import CodecError, QueueFullError
from upnext.model.outcome import Failure
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
