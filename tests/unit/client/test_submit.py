"""What a submit puts into the queue, and what a wait brings back."""

from __future__ import annotations

import pickle
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from upnext.client import client as client_module
from upnext.client.future import Future
from upnext.client.result import TaskExecutionError, TaskTimeoutError
from upnext.errors import CodecError, JobNotFoundError
from upnext.model.outcome import Ending, Failure
from upnext.model.status import FailureReason, JobStatus
from upnext.tasks.context import Context, current_context


@pytest.fixture
def add(tasks):
    @tasks.task
    async def add(a: int, b: int = 1) -> int:
        return a + b

    return add


@pytest.fixture
def day(tasks):
    @tasks.task
    def day(moment: datetime) -> datetime:
        return moment + timedelta(days=1)

    return day


@asynccontextmanager
async def inside(**fields):
    """As if a job ran here."""
    context = Context(**{"job_id": f"parent-{'0' * 32}", "root_id": f"root-{'0' * 32}", **fields})
    token = current_context.set(context)
    try:
        yield context
    finally:
        current_context.reset(token)


class CountingLender:
    def __init__(self) -> None:
        self.lent = anyio.Event()
        self.returned = 0

    @asynccontextmanager
    async def lend(self, jobs=()):
        self.lent.set()
        try:
            yield
        finally:
            self.returned += 1


async def test_submit_then_result(client, add, hand) -> None:
    future = await add.submit(1, b=2)
    assert await future.status() is JobStatus.QUEUED
    (job,) = await hand.claim()
    assert job.id == future.job_id
    assert job.arguments == b'{"a":1,"b":2}'
    assert (job.parent_id, job.root_id) == ("", job.id)
    await hand.complete(job)
    result = await future.result()
    assert result.ok
    assert (result.value, result.function, result.attempts) == (3, "add", 1)
    assert result.completed_at is not None
    assert result.completed_at.tzinfo is UTC
    assert (result.parent_id, result.root_id) == (None, job.id)
    assert await future.value() == 3
    assert client.waiting == 0


async def test_wait_is_told(client, day, hand) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(hand.serve, 1)
        result = await day.wait(datetime(2026, 1, 1, tzinfo=UTC))
    assert result.value == datetime(2026, 1, 2, tzinfo=UTC)
    assert (result.function, result.root_id) == ("day", result.job_id)
    assert client.waiting == 0


async def test_a_missed_notice_is_made_up_for(client, add, hand) -> None:
    async with anyio.create_task_group() as group:

        @group.start_soon
        async def wait() -> None:
            assert (await add.wait(1)).value == 2

        await anyio.wait_all_tasks_blocked()
        (job,) = await hand.claim()
        client.close()  # deaf, as between two connections
        await hand.complete(job)
        client._waits.doubt()  # what the link says after it has reconnected


async def test_everybody_who_waits_for_a_job_hears_of_it(client, add, hand) -> None:
    future = await add.submit(1)
    values = []

    async def wait() -> None:
        values.append(await future.value())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert client.waiting == 3
        await hand.serve(1)
    assert values == [2, 2, 2]


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (
            Failure(type="ValueError", message="no", traceback="here"),
            TaskExecutionError,
            "exception",
        ),
        (Failure(type="TimeoutError", message=""), TaskExecutionError, "exception"),
        (
            Failure(type="upnext.TaskTimeoutError", message="slow", reason=FailureReason.TIMEOUT),
            TaskTimeoutError,
            "timeout",
        ),
    ],
)
async def test_failures(client, add, hand, failure, kind, reason) -> None:
    future = await add.submit(1)
    await hand.fail((await hand.claim())[0], failure)
    with pytest.raises(TaskExecutionError) as caught:
        await future.result()
    error = caught.value
    assert type(error) is kind
    assert (error.job_id, error.status) == (future.job_id, JobStatus.FAILED)
    assert (error.error_type, error.traceback) == (failure.type, failure.traceback)
    assert error.task_result.failure_reason == reason
    assert failure.type in error.error
    assert error.task_result.value is None
    assert pickle.loads(pickle.dumps(error)).error == error.error


async def test_cancelled_and_expired_jobs(client, add, hand) -> None:
    future = await add.submit(1)
    assert await future.cancel("not needed") is True
    assert await future.cancel() is False
    with pytest.raises(TaskExecutionError, match="cancelled: not needed") as caught:
        await future.value()
    assert caught.value.status is JobStatus.CANCELLED
    future = await add.submit(1)
    await hand.settle((await hand.claim())[0], Ending.EXPIRED)
    with pytest.raises(TaskExecutionError, match="expired"):
        await future.value()


async def test_a_lost_record_is_an_error(client, add) -> None:
    gone = add.future(f"add-{'0' * 32}")
    for call in (gone.result, gone.value, gone.status):
        with pytest.raises(JobNotFoundError):
            await call()
    assert await gone.cancel() is False
    nonsense = Future("nonsense")
    for call in (nonsense.result, nonsense.value, nonsense.status, nonsense.cancel):
        with pytest.raises(JobNotFoundError, match="'nonsense' is not a job id") as caught:
            await call()
        assert isinstance(caught.value, ValueError)


async def test_a_future_from_an_id_alone(client, day, hand) -> None:
    future = await day.submit(datetime(2026, 1, 1))
    await hand.serve(1)
    assert await Future(future.job_id).value() == "2026-01-02T00:00:00"
    assert await day.future(future.job_id).value() == datetime(2026, 1, 2)


async def test_wait_timeout_leaves_the_job_alone(client, add, hand) -> None:
    future = await add.submit(1)
    with pytest.raises(TimeoutError, match="it goes on"):
        await future.result(timeout=0)
    with pytest.raises(TimeoutError):
        await add.wait(1, wait_timeout=0)
    with pytest.raises(TimeoutError):
        await add.options(wait_timeout=0).wait(1)
    assert await future.status() is JobStatus.QUEUED
    assert client.waiting == 0


async def test_idempotent_submits_share_a_job(client, add, hand) -> None:
    first = await add.submit_idempotent(" k ", 1)
    second = await add.submit_idempotent("k", 1)
    third = await add.options(key="k").submit(1)
    assert first.job_id == second.job_id == third.job_id
    async with anyio.create_task_group() as group:

        @group.start_soon
        async def wait() -> None:
            result = await add.wait_idempotent("k", 5)
            assert (result.value, result.job_id) == (2, first.job_id)

        await anyio.wait_all_tasks_blocked()
        await hand.serve(1)
    assert (await add.submit_idempotent("k", 1)).job_id != first.job_id
    for wrong in ("", " ", "x" * 257):
        with pytest.raises(ValueError, match="idempotency key"):
            await add.submit_idempotent(wrong, 1)


async def test_options_reach_the_queue(client, add, hand, store) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    future = await add.options(at=later, deadline=later, priority=-3).submit(1)
    record = await store.lookup(future.job_id)
    assert record.status is JobStatus.SCHEDULED
    assert (record.due_at, record.priority) == (round(later.timestamp() * 1000), -3)
    assert record.deadline == record.due_at
    future = await add.options(delay=timedelta(seconds=5), deadline=20).submit(1)
    record = await store.lookup(future.job_id)
    assert record.due_at - record.created_at == 5000
    assert record.deadline - record.created_at == 20_000
    assert await hand.claim() == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delay": -1}, "delay"),
        ({"at": datetime(2026, 1, 1)}, "time zone"),
        ({"deadline": datetime(2026, 1, 1)}, "time zone"),
        ({"priority": 10}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"delay": 1, "at": datetime(2026, 1, 1, tzinfo=UTC)}, "not both"),
        ({"key": ""}, "key"),
        ({"wait_timeout": -1}, "wait_timeout"),
    ],
    ids=repr,
)
def test_wrong_options(add, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        add.options(**options)


async def test_options_make_a_copy(client, add, store) -> None:
    urgent = add.options(priority=9).options(delay=5).options(at=datetime(2020, 1, 1, tzinfo=UTC))
    record = await store.lookup((await urgent.submit(1)).job_id)
    assert (record.priority, record.status) == (9, JobStatus.QUEUED)
    assert (await store.lookup((await add.submit(1)).job_id)).priority == 0
    assert (urgent.__name__, urgent.definition) == ("add", add.definition)


async def test_wrong_arguments_submit_nothing(client, add, store) -> None:
    with pytest.raises(TypeError, match=r"add\(\): missing a required argument"):
        await add.submit()
    with pytest.raises(CodecError, match="a: "):
        await add.submit(object())
    assert not store.queues


async def test_children_know_their_parents(client, add, hand, store) -> None:
    async with inside(deadline=4_000_000_000_000) as context:
        child = await add.submit(1)
        tight = await add.options(deadline=10).submit(1)
    record = await store.lookup(child.job_id)
    assert (record.parent_id, record.root_id) == (context.job_id, context.root_id)
    assert record.deadline == context.deadline
    assert (await store.lookup(tight.job_id)).deadline < context.deadline


async def test_a_job_waited_for_need_not_outlive_its_caller(client, add, store, hand) -> None:
    async def deadline_of_next() -> int | None:
        await anyio.wait_all_tasks_blocked()
        (job,) = await hand.claim()
        await hand.complete(job)
        return None if job.deadline is None else job.deadline - job.created_at

    async with anyio.create_task_group() as group:
        with anyio.fail_after(30):
            group.start_soon(add.wait, 1)
            assert await deadline_of_next() is None  # that task is not in this scope
        with anyio.fail_after(30):
            async with anyio.create_task_group() as inner:
                inner.start_soon(add.wait, 1)
                assert 29_000 < await deadline_of_next() <= 30_000


async def test_a_waiting_job_lends_its_slot(client, add, hand) -> None:
    lender = CountingLender()
    async with inside(lender=lender), anyio.create_task_group() as group:
        group.start_soon(add.wait, 1)
        await lender.lent.wait()
        assert lender.returned == 0
        await hand.serve(1)
    assert lender.returned == 1
    async with inside(lender=lender):
        future = await add.submit(1)
        await hand.serve(1)
        await future.result()  # over already: nothing to lend
        assert lender.returned == 1
        with pytest.raises(TimeoutError):
            await (await add.submit(1)).result(timeout=0)
    assert lender.returned == 2


async def test_cancelling_a_wait_leaves_nothing_behind(client, add, hand) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(add.wait, 1)
        await anyio.wait_all_tasks_blocked()
        assert client.waiting == 1
        group.cancel_scope.cancel()
    assert client.waiting == 0
    await hand.serve(1)


def test_direct_calls(tasks) -> None:
    seen = []

    @tasks.task
    async def slow(n: int) -> int:
        await anyio.lowlevel.checkpoint()
        seen.append(current_context.get())
        return n

    @tasks.task
    def quick(n: int) -> int:
        seen.append(current_context.get())
        return n

    assert (slow(1), quick(2)) == (1, 2)
    assert [context.function for context in seen] == ["slow", "quick"]
    assert current_context.get(None) is None


async def test_direct_calls_inside_a_job_keep_its_context(client, tasks, add, store) -> None:
    @tasks.task
    def quick() -> Context:
        return current_context.get()

    async with inside() as context:
        called = quick()
        assert (called.job_id, called.function) == (context.job_id, "quick")
        assert current_context.get() is context
        with pytest.raises(RuntimeError, match="await add"):
            add(1)
    assert quick().root_id == ""
    token = current_context.set(quick())
    record = await store.lookup((await add.submit(1)).job_id)
    current_context.reset(token)
    assert (record.parent_id, record.root_id) == ("", record.id)


async def test_sync_calls_from_a_worker_thread_use_the_bound_store(client, add, hand) -> None:
    lender = CountingLender()
    names = []

    def submits() -> None:
        names.append(threading.current_thread())
        future = add.submit_sync(1)
        assert future.status_sync() is JobStatus.QUEUED
        assert future.cancel_sync() is True

    def waits() -> None:
        assert add.wait_sync(4).value == 5
        assert add.wait_idempotent_sync("k", 5).value == 6

    async with inside(lender=lender), anyio.create_task_group() as group:
        await anyio.to_thread.run_sync(submits)
        assert lender.returned == 0
        group.start_soon(hand.serve, 2)
        await anyio.to_thread.run_sync(waits)
    assert names != [threading.current_thread()]
    assert lender.returned == 2


async def test_a_wait_ends_in_time_though_the_queue_says_nothing(
    client, tasks, store, monkeypatch
) -> None:
    @tasks.task
    async def add(n: int) -> int:
        return n

    future = await add.submit(1)
    monkeypatch.setattr(client_module, "LEAST", 0.01)
    monkeypatch.setattr(store, "watch", lambda job_id, channel: anyio.sleep_forever())
    with anyio.fail_after(60), pytest.raises(TimeoutError, match=future.job_id):
        await future.result(timeout=0)
