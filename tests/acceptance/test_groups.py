"""Groups over real worker processes."""

# ruff: noqa: PT012 - what a block raises at its end is what these tests are about

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import pytest

import upnext
from tests.support import service
from tests.support.workers import Ledger, WorkerProcess

Start = Callable[..., WorkerProcess]


async def test_children_in_several_processes_end_with_the_first_failure(
    start_worker: Start, ledger: Ledger
) -> None:
    for _ in range(2):
        start_worker("--only", "service", "--concurrency", "6")
    with anyio.fail_after(30), pytest.raises(ExceptionGroup) as caught:
        async with upnext.group() as g:
            naps = [await g.submit(service.nap, 60.0) for _ in range(8)]
            await anyio.to_thread.run_sync(ledger.wait_for, "start", 8)
            await g.submit(service.breaks, 0.0)
            await anyio.sleep_forever()
    [error] = caught.value.exceptions
    assert "no luck" in str(error)
    assert [await future.status() for future in naps] == [upnext.JobStatus.CANCELLED] * 8
    assert ledger.count("cancelled") == 8
    assert len({pid for pids in ledger.starts().values() for pid in pids}) == 2


async def test_a_group_in_a_job_ends_with_the_first_failure(
    start_worker: Start, ledger: Ledger
) -> None:
    start_worker("--only", "service", "--concurrency", "3")
    start_worker("--only", "service", "--concurrency", "3", "--async-backend", "trio")
    with anyio.fail_after(30):
        with pytest.raises(upnext.TaskExecutionError, match="1 error in a group"):
            await service.grouped.wait(3)
        assert ledger.count("cancelled") == 3


async def test_the_first_one_ends_the_race(start_worker: Start, ledger: Ledger) -> None:
    start_worker("--only", "service", "--concurrency", "6")
    began = time.monotonic()
    with anyio.fail_after(30):
        async with upnext.group(policy="first_wins") as g:
            slow = await g.submit(service.nap, 60.0)
            fast = await g.submit(service.nap, 0.1)
            await g.submit(service.breaks, 0.0)
    assert g.first is not None
    assert (g.first.job_id, g.first.value) == (fast.job_id, "rested")
    assert await slow.status() is upnext.JobStatus.CANCELLED
    assert time.monotonic() - began < 10


async def test_jobs_of_a_group_whose_process_died_run_on(
    start_worker: Start, ledger: Ledger
) -> None:
    holder = start_worker("--only", "service", "--concurrency", "1")
    parent = await service.grouped.submit(0)
    ledger.wait_for("start")  # of the child, in the slot that its parent lends
    [child] = await parent.unfinished()
    holder.kill()
    start_worker("--only", "service", "--concurrency", "4")
    # The lease runs out; the parent runs again and submits another child, and both children fail.
    with anyio.fail_after(40):
        with pytest.raises(upnext.TaskExecutionError, match="no luck"):
            await service.breaks.future(child).value()
        with pytest.raises(upnext.TaskExecutionError, match="1 error in a group"):
            await parent.value()
    assert (await parent.unfinished()) == []
