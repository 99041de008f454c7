"""Jobs in a test's workers: the real tree, without a server and without waiting for time."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.to_thread
import pytest

import upnext
from upnext import JobStatus, SyncExecutor, Worker, get_current_context
from upnext.errors import ConfigurationError
from upnext.testing import run_worker

DAY = 86_400.0


async def test_retries_over_three_days_take_three_days_of_virtual_time(worker) -> None:
    runs = []

    @worker.task(retries=3, retry_delay=timedelta(days=1), retry_backoff=1)
    async def flaky(n: int) -> int:
        runs.append((anyio.current_time(), get_current_context().attempt))
        if len(runs) < 4:
            raise ConnectionError("down")
        return n

    async with run_worker(worker) as harness:
        began, now = anyio.current_time(), harness.now()
        result = await flaky.wait(7)
        assert (result.value, result.attempts) == (7, 4)
        assert [attempt for _, attempt in runs] == [1, 2, 3, 4]
        assert [at - began for at, _ in runs] == pytest.approx([0, DAY, 2 * DAY, 3 * DAY], abs=0.1)
        assert (harness.now() - now) / timedelta(days=1) == pytest.approx(3, abs=1e-5)


async def test_idle_days_cost_nothing(worker) -> None:
    """No stage of the worker wakes up unbidden: three days pass in a few turns of the loop."""

    @worker.task
    async def work() -> None: ...

    async with run_worker(worker) as harness:
        await work.wait()
        queue = harness.store.queues[harness.store.keys.function("work")]
        asked = []
        harness.store.claim = lambda *args, **_: asked.append(args)  # type: ignore[method-assign]
        await anyio.sleep(3 * DAY)
        assert asked == []
        assert len(queue.jobs) == 1  # and nothing is forgotten
        del harness.store.claim
        await work.wait()


async def test_a_job_may_be_submitted_after_an_idle_year(worker) -> None:
    @worker.task
    async def work(n: int) -> int:
        return n

    async with run_worker(worker):
        await work.wait(1)
        await anyio.sleep(400 * DAY)
        began = anyio.current_time()
        assert (await work.wait(2)).value == 2
        assert anyio.current_time() - began < 0.1


async def test_a_timeout_and_a_delay_pass_in_virtual_time(worker) -> None:
    @worker.task(timeout=timedelta(hours=2))
    async def slow() -> None:
        await anyio.sleep_forever()

    async with run_worker(worker) as harness:
        began = anyio.current_time()
        future = await slow.options(delay=timedelta(hours=1)).submit()
        with pytest.raises(upnext.TaskTimeoutError):
            await future.result()
        assert anyio.current_time() - began == pytest.approx(3 * 3600, abs=0.1)
        harness.assert_failed(slow, error="timed out")


async def test_each_attempt_knows_when_it_started_by_the_queues_clock(worker) -> None:
    now, started = datetime(2027, 3, 28, tzinfo=UTC), []

    @worker.task(retries=1, retry_delay=DAY)
    async def work() -> None:
        started.append(get_current_context().started_at - now.timestamp())
        if len(started) == 1:
            raise ValueError

    async with run_worker(worker, now=now):
        await work.options(delay=60).wait()
        assert started == pytest.approx([60, 60 + DAY], abs=0.1)


async def test_a_thousand_jobs_of_one_moment_all_start_at_that_moment() -> None:
    worker, late = Worker("many", concurrency=1000, redis_url="redis://127.0.0.1:1"), []

    @worker.task
    async def work(n: int) -> None:
        late.append(anyio.current_time() - due)
        await anyio.sleep(60)

    async with run_worker(worker) as harness:
        due = anyio.current_time() + 90 * DAY
        await upnext.submit_many(work.options(delay=90 * DAY), [(n,) for n in range(1000)])
        await harness.drain(scheduled=True)
        harness.assert_completed(work, count=1000)
    assert -0.01 < min(late) <= max(late) < 0.5


async def test_drain_leaves_what_is_scheduled_unless_asked(worker) -> None:
    @worker.task(retries=1, retry_delay=60)
    async def flaky() -> str:
        if get_current_context().attempt == 1:
            raise ValueError("once")
        return "fine"

    async with run_worker(worker) as harness:
        await flaky.submit()
        await harness.drain()
        [job] = harness.enqueued(flaky)
        assert (job.status, job.attempts) == (JobStatus.SCHEDULED, 1)
        assert job.error is not None
        assert job.error.message == "once"
        assert job.delay == pytest.approx(60, abs=0.1)
        assert harness.unfinished() == [job]
        await harness.drain(scheduled=True)
        harness.assert_completed(flaky, count=1, result="fine")
        assert harness.unfinished() == []


async def test_drain_waits_for_children_and_for_what_runs(worker) -> None:
    done = []

    @worker.task
    async def leaf(n: int) -> None:
        await anyio.sleep(600)
        done.append(n)

    @worker.task
    async def root(n: int) -> None:
        for i in range(n):
            await leaf.submit(i)

    async with run_worker(worker) as harness:
        await root.submit(5)
        await harness.drain()
        assert sorted(done) == [0, 1, 2, 3, 4]
        [parent] = harness.enqueued(root)
        assert {job.parent_id for job in harness.enqueued(leaf)} == {parent.id}


async def test_drain_ignores_what_these_workers_do_not_run(worker) -> None:
    @worker.task
    async def mine() -> None: ...

    other = Worker("other")

    @other.task
    async def theirs() -> None: ...

    async with run_worker(worker) as harness:
        await theirs.submit()
        await mine.submit()
        await harness.drain()
        harness.assert_completed(mine)
        harness.assert_enqueued(theirs, status=JobStatus.QUEUED)


async def test_drain_that_lasts_too_long_names_the_jobs(worker) -> None:
    @worker.task
    async def slow(n: int) -> None:
        await anyio.sleep(3600)

    async with run_worker(worker) as harness:
        await slow.submit(4)
        with pytest.raises(TimeoutError, match=r"after 60 s .*\n  slow\(n=4\)  running"):
            await harness.drain(timeout=timedelta(minutes=1))


async def test_several_workers_share_the_queue(worker) -> None:
    other = Worker("other")

    @worker.task
    async def one() -> int:
        return (await two.wait()).value + 1

    @other.task
    async def two() -> int:
        return 1

    async with run_worker(worker, other) as harness:
        assert (await one.wait()).value == 2
        assert set(harness.workers) == {"test", "other"}


async def test_sync_tasks_run_in_threads_and_time_waits_for_them(worker) -> None:
    """A thread that is waited for longer than its timeout would be, were time to jump."""
    proceed = threading.Event()

    @worker.task(timeout=3600)
    def sync_work(n: int) -> int:
        proceed.wait(10)
        return n + child.wait_sync(n).value

    @worker.task
    async def child(n: int) -> int:
        await anyio.sleep(1200)  # jumped over, although the parent's thread waits meanwhile
        return n

    async with run_worker(worker):
        began = anyio.current_time()
        future = await sync_work.submit(2)
        threading.Timer(0.05, proceed.set).start()
        assert await future.value() == 4
        assert anyio.current_time() - began == pytest.approx(1200, abs=60)


async def test_threads_that_a_task_starts_are_waited_for(worker) -> None:
    proceed = threading.Event()

    @worker.task(timeout=60, on_start=lambda: proceed.wait(10))
    async def work() -> bool:
        return await anyio.to_thread.run_sync(proceed.wait, 10)

    async with run_worker(worker):
        future = await work.options(deadline=120).submit()
        threading.Timer(0.05, proceed.set).start()
        assert await future.value() is True


async def test_sockets_are_waited_for_in_real_time(worker) -> None:
    """They send their answer when the test says so, not before the clock could have jumped."""
    here, there = socket.socketpair()
    here.setblocking(False)

    @worker.task(timeout=60)
    async def listen(real: bool) -> str:
        with upnext.testing.real_time() if real else nullcontext():
            await anyio.wait_readable(here)
        return here.recv(100).decode()

    with here, there:
        async with run_worker(worker) as harness:
            future = await listen.submit(True)
            threading.Timer(0.05, there.send, [b"hello"]).start()
            assert await future.value() == "hello"
            await listen.submit(False)
            await harness.drain()
            harness.assert_failed(listen, args=(False,), error="timed out")


async def test_a_process_task_runs_in_a_thread(worker) -> None:
    pool = Worker("pool", sync_executor=SyncExecutor.PROCESS)

    @pool.task
    def where() -> int:
        return os.getpid()

    async with run_worker(pool):
        assert (await where.wait()).value == os.getpid()
    with pytest.raises(ConfigurationError, match="cannot run in a worker process"):
        async with run_worker(pool, sync_executor=None):
            pass


async def test_delays_are_the_middle_ones_unless_jitter_is_wanted(worker) -> None:
    @worker.task(retries=1, retry_delay=100, retry_jitter=True)
    async def flaky() -> None:
        raise ValueError

    async def delay(**options: Any) -> float:
        async with run_worker(worker, **options) as harness:
            began = anyio.current_time()
            for _ in range(5):
                await flaky.submit()
            await harness.drain(scheduled=True)
            return anyio.current_time() - began

    assert await delay() == pytest.approx(100, abs=0.1)
    assert await delay(jitter=True) != pytest.approx(100, abs=0.1)


async def test_the_queues_clock_begins_where_the_test_says(worker) -> None:
    @worker.task
    async def work() -> float:
        return get_current_context().started_at

    start = datetime(2027, 3, 28, 0, 59, tzinfo=UTC)
    async with run_worker(worker, now=start) as harness:
        assert harness.now() == start
        future = await work.options(at=start + timedelta(hours=1)).submit()
        assert await future.value() == pytest.approx(start.timestamp() + 3600, abs=0.1)
    with pytest.raises(ConfigurationError, match="time zone"):
        async with run_worker(worker, now=datetime(2027, 1, 1)):
            pass


async def test_hooks_retries_and_discards_are_the_real_ones(worker) -> None:
    said = []

    @worker.task(retries=2, on_retry=lambda: said.append("retry"))
    async def work(n: int) -> None:
        if n == 0:
            raise upnext.Discard("no use")
        if get_current_context().attempt == 1:
            raise upnext.Retry(delay=30)

    async with run_worker(worker) as harness:
        await work.submit(0)
        await work.submit(1)
        await harness.drain(scheduled=True)
        harness.assert_cancelled(work, args=(0,), reason="no use")
        harness.assert_completed(work, args=(1,), count=1)
        assert said == ["retry"]
