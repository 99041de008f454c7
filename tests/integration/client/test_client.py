"""Submitting and waiting over a real server, awaited and blocking."""

from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import pytest
import redis

from upnext.client.connect import connect
from upnext.client.declarations import TaskDeclarations
from upnext.client.parallel import submit_many
from upnext.client.result import TaskExecutionError
from upnext.client.sync import blocking_client
from upnext.contracts.codec import encode_failure
from upnext.errors import JobNotFoundError
from upnext.model.job import Held
from upnext.model.outcome import Ending, Failure, Outcome, Settled
from upnext.model.status import JobStatus
from upnext.redis.pool import close_links

tasks = TaskDeclarations()


@tasks.task
async def echo(value: list[int]) -> list[int]:
    return value


@pytest.fixture(autouse=True)
def _server(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPNEXT_REDIS_URL", redis_url)


async def serve(count: int, failure: Failure | None = None) -> None:
    """Be the worker for so many jobs: complete them with their argument, or fail them."""
    store = (await connect()).store
    while count:
        claimed = await store.claim("w", [("echo", 100)])
        outcomes = [_outcome(job, failure) for job in claimed.jobs]
        assert set(await store.settle("w", outcomes)) <= {Settled.APPLIED}
        count -= len(outcomes)
        await anyio.lowlevel.checkpoint()


def _outcome(job, failure: Failure | None) -> Outcome:
    held = Held("echo", job.id, job.delivery)
    if failure is not None:
        return Outcome(held=held, ending=Ending.FAILED, error=encode_failure(failure))
    (args, kwargs) = echo.definition.arguments.decode(job.arguments)
    (value,) = (*args, *kwargs.values())
    return Outcome(held=held, ending=Ending.COMPLETE, result=echo.definition.result.encode(value))


async def test_wait_and_result() -> None:
    future = await echo.submit([2**53 + 1])
    assert await future.status() is JobStatus.QUEUED
    async with anyio.create_task_group() as group:
        group.start_soon(serve, 3)
        assert (await echo.wait([])).value == []
        assert await future.value() == [2**53 + 1]
        result = await echo.wait([1], wait_timeout=30)
    assert (result.value, result.function) == ([1], "echo")
    assert result.started_at is not None


async def test_failures_arrive_whole() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(serve, 1, Failure(type="ValueError", message='"ü\\', traceback="tb"))
        with pytest.raises(TaskExecutionError, match="ValueError") as caught:
            await echo.wait([1])
    assert caught.value.error == 'ValueError: "ü\\'
    assert caught.value.traceback == "tb"


async def test_a_hundred_waits_share_one_subscription(redis_url: str) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(serve, 100)
        for n in range(100):
            group.start_soon(echo.wait, [n])
    with redis.Redis.from_url(redis_url) as client:
        assert len(client.pubsub_channels("upnext:local:waiter:*")) == 1


async def test_a_wait_survives_a_lost_connection(redis_url: str) -> None:
    client = await connect()
    async with anyio.create_task_group() as group:

        @group.start_soon
        async def wait() -> None:
            assert (await echo.wait([7])).value == [7]

        while not client.waiting:
            await anyio.wait_all_tasks_blocked()
        with redis.Redis.from_url(redis_url) as admin:
            while not admin.pubsub_channels("upnext:local:waiter:*"):
                await anyio.wait_all_tasks_blocked()
            admin.client_kill_filter(skipme=True, _type="normal")
            admin.client_kill_filter(skipme=True, _type="pubsub")
        await client.store.lookup(f"echo-{'0' * 32}")  # sent again until the new connection answers
        await serve(1)


async def test_submits_go_on_after_the_links_were_closed() -> None:
    await echo.submit([1])
    await close_links()
    await echo.submit([2])
    await serve(2)


async def test_submit_many() -> None:
    futures = await submit_many(echo, (([n],) for n in range(1200)))
    await serve(1200)
    assert await futures[1199].value() == [1199]


async def test_cancel_and_lost_records() -> None:
    future = await echo.submit([1])
    assert await future.cancel("no") is True
    with pytest.raises(TaskExecutionError, match="cancelled: no"):
        await future.result()
    with pytest.raises(JobNotFoundError):
        await echo.future(f"echo-{'0' * 32}").result()


async def test_sync_calls_beside_and_inside_an_event_loop() -> None:
    values: list[list[int]] = []

    def producer(n: int) -> None:
        for _ in range(3):
            values.append(echo.wait_sync([n]).value)
            values.append(echo.submit_sync([n]).value_sync())

    threads = [threading.Thread(target=producer, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    await serve(18)
    await anyio.to_thread.run_sync(threads[0].join)
    await anyio.to_thread.run_sync(threads[1].join)
    await anyio.to_thread.run_sync(threads[2].join)
    assert sorted(values) == [[n] for n in range(3) for _ in range(6)]
    future = echo.submit_sync([5])  # here, on the loop's own thread
    assert future.status_sync() is JobStatus.QUEUED
    assert future.cancel_sync("enough") is True
    with pytest.raises(TaskExecutionError, match="enough"):
        future.result_sync()


def test_sync_calls_without_any_loop() -> None:
    future = echo.submit_idempotent_sync("k", [1])
    assert echo.submit_idempotent_sync("k", [2]).job_id == future.job_id
    with pytest.raises(TimeoutError, match="it goes on"):
        future.result_sync(timeout=0.01)
    with pytest.raises(TimeoutError):
        echo.wait_idempotent_sync("k", [3], wait_timeout=0.01)
    with pytest.raises(JobNotFoundError):
        echo.future(f"echo-{'0' * 32}").status_sync()
    assert future.cancel_sync()


def test_a_sync_wait_survives_a_lost_connection(redis_url: str) -> None:
    values: list[list[int]] = []
    thread = threading.Thread(target=lambda: values.append(echo.wait_sync([7]).value))
    thread.start()
    with redis.Redis.from_url(redis_url) as admin:
        while not admin.exists("upnext:{local:echo}:lanes"):
            thread.join(0.01)
        admin.client_kill_filter(skipme=True, _type="pubsub")
    anyio.run(serve, 1)
    thread.join(20)
    assert values == [[7]]


@pytest.fixture(autouse=True)
def _no_client_left() -> object:
    yield
    blocking_client().store.close()
