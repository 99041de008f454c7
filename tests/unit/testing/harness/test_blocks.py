"""A block of `run_worker`: what belongs to it, how it fails, and that it is undone."""

from __future__ import annotations

import threading
from contextlib import suppress

import anyio
import anyio.to_thread
import pytest

import upnext
from upnext import JobStatus
from upnext.errors import ConfigurationError
from upnext.testing import run_worker


async def test_sync_calls_work_on_the_loops_own_thread_and_in_any_other(worker) -> None:
    @worker.task
    async def work(n: int) -> int:
        return n

    async with run_worker(worker) as harness:
        future = work.submit_sync(1)
        assert future.status_sync() is JobStatus.RUNNING  # handed to the worker, not yet begun
        held = work.options(delay=60).submit_sync(0)
        assert held.cancel_sync("not now") is True
        with pytest.raises(RuntimeError, match="would wait for ever"):
            work.wait_sync(2)
        assert await future.value() == 1

        values = []
        thread = threading.Thread(target=lambda: values.append(work.wait_sync(3).value))
        thread.start()
        with upnext.testing.real_time():
            await anyio.to_thread.run_sync(thread.join)
        assert values == [3]
        assert await anyio.to_thread.run_sync(lambda: work.wait_sync(4).value) == 4
        harness.assert_cancelled(work, args=(0,), reason="not now")


async def test_an_error_in_the_block_comes_out_as_it_is(worker) -> None:
    @worker.task
    async def endless() -> None:
        await anyio.sleep_forever()

    for error in (ValueError("mine"), AssertionError("mine"), KeyboardInterrupt("mine")):
        with pytest.raises(type(error)) as caught:  # noqa: PT012 - it is what raises
            async with run_worker(worker):
                await endless.submit()
                await anyio.sleep(1)
                raise error
        assert caught.value is error
    with pytest.raises(pytest.fail.Exception, match="mine"):
        async with run_worker(worker):
            pytest.fail("mine")


async def test_a_cancelled_block_ends(worker) -> None:
    @worker.task
    async def endless() -> None:
        await anyio.sleep_forever()

    with anyio.move_on_after(5) as scope:
        async with run_worker(worker):
            await endless.wait()
    assert scope.cancelled_caught


async def test_blocks_nest_and_are_undone(worker) -> None:
    @worker.task
    async def work() -> None: ...

    async with run_worker(worker) as outer:
        await work.submit()
        with suppress(ValueError):
            async with run_worker(worker) as inner:
                await work.submit()
                await inner.drain()
                inner.assert_completed(work, count=1)
                raise ValueError("mine")
        await work.submit()
        await outer.drain()
        outer.assert_completed(work, count=2)


async def test_a_task_of_an_earlier_time_submits_to_the_block(worker) -> None:
    """Its context knows nothing of the block: a server that a fixture started, say."""

    @worker.task
    async def work() -> None: ...

    begun = anyio.Event()

    async def server() -> None:
        await begun.wait()
        await work.submit()

    async with anyio.create_task_group() as group:
        group.start_soon(server)
        async with run_worker(worker) as harness:
            begun.set()
            await anyio.wait_all_tasks_blocked()
            await harness.drain()
            harness.assert_completed(work)


async def test_another_event_loop_is_refused(worker) -> None:
    @worker.task
    async def work() -> None: ...

    async with run_worker(worker):
        refused = []

        def elsewhere() -> None:
            with pytest.raises(RuntimeError, match="another event loop") as caught:
                anyio.run(work.submit)
            refused.append(caught.value)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert refused


async def test_a_test_that_would_wait_for_ever_is_told_so(worker) -> None:
    @worker.task(timeout=None)
    async def stuck(n: int) -> None:
        await anyio.Event().wait()

    with pytest.raises(TimeoutError, match=r"10 years .*\n  stuck\(n=3\)  running"):
        async with run_worker(worker):
            await stuck.wait(3)


async def test_a_worker_that_crashes_fails_the_test(worker, monkeypatch) -> None:
    @worker.task
    async def work() -> None: ...

    from upnext.worker.intake.fetcher import Fetcher

    async def crash(self: Fetcher) -> None:
        await anyio.sleep(5)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Fetcher, "run", crash)
    with pytest.raises(ExceptionGroup) as caught:  # as upnext.run() logs it
        async with run_worker(worker):
            await work.options(delay=60).wait()
    assert caught.group_contains(ZeroDivisionError, match="a bug")


async def test_a_worker_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="needs a worker"):
        async with run_worker():
            pass
