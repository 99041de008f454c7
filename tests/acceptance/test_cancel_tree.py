"""A tree of 200 jobs over 3 real worker processes, cancelled at its root and in its middle."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import anyio
import pytest

import upnext
from tests.support import service
from tests.support.servers import RedisServer
from tests.support.workers import Ledger, WorkerProcess
from upnext.contracts.keys import Keys
from upnext.store.lookup import parse_record

Start = Callable[..., WorkerProcess]
LIMIT = 2.0
BRANCHES, LEAVES = 9, 21
SIZE = 1 + BRANCHES * (1 + LEAVES) + 1
"""A root, its branches with their leaves, and one job in a thread: 200."""


async def grown(ledger: Ledger) -> upnext.Future[None]:
    """The root of a tree that has its 200 jobs, of which as many run as there are slots for."""
    root = await service.grow.submit(BRANCHES, LEAVES)
    with anyio.fail_after(30):
        # A file and other processes have no event.
        while len(await root.unfinished()) < SIZE - 1 or ledger.count("start") < 150:  # noqa: ASYNC110
            await anyio.sleep(0.02)
    return root


def records(server: RedisServer, ids: list[str]) -> dict[str, upnext.JobStatus]:
    with server.client() as client:
        found = {i: parse_record(i, client.hgetall(Keys().job(i))) for i in ids}
    return {i: record for i, record in found.items() if record is not None}


async def test_a_tree_of_200_jobs_in_three_processes_ends_within_two_seconds(
    start_worker: Start, ledger: Ledger, redis_server: RedisServer, anyio_backend: str
) -> None:
    for _ in range(3):
        # 180 slots: some jobs of the tree wait.
        start_worker("--only", "service", "--concurrency", "60", "--async-backend", anyio_backend)
    root = await grown(ledger)
    below = await root.unfinished()
    assert len(below) == SIZE - 1

    began = time.monotonic()
    assert await root.cancel("wrong month")
    with pytest.raises(upnext.TaskExecutionError, match="wrong month"), anyio.fail_after(30):
        await root.value()
    took = time.monotonic() - began

    started = ledger.count("start")
    found = records(redis_server, [root.job_id, *below])
    assert Counter(record.status for record in found.values()) == {upnext.JobStatus.CANCELLED: SIZE}
    assert {record.reason for record in found.values()} == {"wrong month"}
    ends = {i: record.finished_at for i, record in found.items()}
    assert max(ends.values()) == ends[root.job_id], "the root is over last"
    assert await root.unfinished() == []
    print(f"{SIZE} jobs in 3 processes ended {took:.3f} s after the cancellation")
    assert took < LIMIT
    # Every function that began was cancelled, and nothing began afterwards.
    pids = {pid for pids in ledger.starts().values() for pid in pids}
    assert len(pids) == 3
    await anyio.sleep(1.0)
    assert ledger.count("start") == started
    assert ledger.count("start") == ledger.count("cancelled") + ledger.count("stopped")
    refused = await anyio.to_thread.run_sync(ledger.count, "refused")
    assert refused == BRANCHES, "each branch tried to submit one more"


async def test_a_branch_is_cancelled_and_the_others_go_on(
    start_worker: Start, ledger: Ledger, redis_server: RedisServer
) -> None:
    for _ in range(3):
        start_worker("--only", "service", "--concurrency", "70")
    root = await grown(ledger)
    everything = await root.unfinished()
    branch = next(i for i in everything if i.startswith("branch-"))
    below = await service.branch.future(branch).unfinished()
    assert len(below) == LEAVES

    began = time.monotonic()
    assert await service.branch.future(branch).cancel("this branch")
    with pytest.raises(upnext.TaskExecutionError, match="this branch"), anyio.fail_after(30):
        await service.branch.future(branch).value()
    assert time.monotonic() - began < LIMIT
    found = records(redis_server, everything)
    over = {i for i, record in found.items() if record.status.is_terminal()}
    assert over == {branch, *below}
    assert {found[i].reason for i in over} == {"this branch"}
    assert await root.cancel("the rest")
    with pytest.raises(upnext.TaskExecutionError, match="the rest"), anyio.fail_after(30):
        await root.value()


async def test_jobs_in_worker_processes_are_killed_with_their_tree(
    start_worker: Start, ledger: Ledger
) -> None:
    start_worker("--only", "service")
    start_worker("--only", "processes")
    root = await service.over_processes.submit()
    ledger.wait_for("start", 2)
    began = time.monotonic()
    assert await root.cancel("enough")
    with pytest.raises(upnext.TaskExecutionError, match="enough"), anyio.fail_after(30):
        await root.value()
    assert time.monotonic() - began < LIMIT
    assert await root.unfinished() == []
