"""What a worker process promises, on real signals: nothing lost, nothing spent, nothing twice."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

import upnext
from tests.support import service
from tests.support.servers import RedisServer
from tests.support.workers import Ledger, WorkerProcess, workers

Start = Callable[..., WorkerProcess]
LOOPS = pytest.mark.parametrize(
    ("loop", "anyio_backend"),
    [
        (["--async-backend", "asyncio"], "asyncio"),
        (["--async-backend", "trio"], "trio"),
        (["--uvloop"], "asyncio"),
    ],
    ids=["asyncio", "trio", "uvloop"],
)
"""Of the worker processes; the test itself runs on the same."""


@LOOPS
async def test_the_same_program_runs_on_every_loop(start_worker: Start, loop: list[str]) -> None:
    start_worker(*loop)
    with anyio.fail_after(30):
        assert await (await service.touch.submit(7)).value() == 7
        assert await (await service.threaded.submit(0.01)).value() == "threaded"
        assert await (await service.spin.submit(0.01)).value() != os.getpid()
        assert await (await service.third_time_lucky.submit()).value() == 3
        result = await service.touch.wait(8)
    assert (result.value, result.attempts) == (8, 1)


@LOOPS
async def test_sigterm_under_load_loses_and_spends_nothing(
    start_worker: Start, ledger: Ledger, loop: list[str]
) -> None:
    first = start_worker(*loop, "--only", "service")
    futures = await upnext.submit_many(service.nap, [{"seconds": 0.02}] * 300)
    ledger.wait_for("start", 40)
    first.send(signal.SIGTERM)
    began = time.monotonic()
    assert first.exit_code() == 0, first.output
    assert time.monotonic() - began < 10
    assert ledger.count("cancelled") == 0
    start_worker(*loop, "--only", "service")
    with anyio.fail_after(40):
        results = [await future.result() for future in futures]
    assert {result.attempts for result in results} == {1}
    assert all(len(pids) == 1 for pids in ledger.starts().values())


@LOOPS
@pytest.mark.parametrize("depth", [1, 3])
async def test_sigterm_lets_a_tree_finish_that_nobody_else_would(
    start_worker: Start, ledger: Ledger, tmp_path: Path, loop: list[str], depth: int
) -> None:
    worker = start_worker(*loop, "--only", "service", "--concurrency", "1")
    root = await service.trunk.submit(depth, str(tmp_path / "go"))
    ledger.wait_for("start")
    left = await service.touch.submit(1)
    worker.send(signal.SIGTERM)
    worker.wait_for("draining")
    began = time.monotonic()
    (tmp_path / "go").touch()
    assert worker.exit_code() == 0, worker.output
    assert time.monotonic() - began < 10, "far less than the grace"
    result = await root.result(5)
    assert (result.value, result.attempts) == (1, 1)
    assert [event for event, *_ in ledger.entries()] == ["start"] * (depth + 1)
    assert all(len(pids) == 1 for pids in ledger.starts().values()), "nothing is done twice"
    assert await left.status() is upnext.JobStatus.QUEUED, "nobody waits for it here"
    assert await left.cancel()


@LOOPS
async def test_a_second_signal_hands_back_without_spending_an_attempt(
    start_worker: Start, ledger: Ledger, loop: list[str]
) -> None:
    worker = start_worker(*loop, "--only", "service")
    future = await service.nap.submit(30.0)
    ledger.wait_for("start")
    worker.send(signal.SIGTERM)
    worker.wait_for("draining")
    await anyio.sleep(0.6)  # signals closer together than half a second count as one
    worker.send(signal.SIGTERM)
    assert worker.exit_code(10) == 0, worker.output
    assert ledger.count("cancelled") == 1
    assert await future.status() is upnext.JobStatus.QUEUED
    start_worker(*loop, "--only", "service")
    ledger.wait_for("start", 2)
    assert [attempt for event, _, attempt, _ in ledger.entries() if event == "start"] == [1, 1]
    assert await future.cancel()


async def test_a_job_that_swallows_its_cancellation_does_not_keep_the_process(
    start_worker: Start, ledger: Ledger
) -> None:
    worker = start_worker("--only", "service")
    stubborn = await service.stubborn.submit()
    other = await service.nap.submit(30.0)
    ledger.wait_for("start", 2)
    worker.send(signal.SIGINT)
    worker.wait_for("draining")
    await anyio.sleep(0.6)
    worker.send(signal.SIGINT)
    assert worker.exit_code(15) == 1
    assert f"stubborn ({stubborn.job_id})" in worker.output
    assert await other.status() is upnext.JobStatus.QUEUED
    assert await stubborn.status() is upnext.JobStatus.QUEUED


async def test_a_thread_that_does_not_end_does_not_keep_the_process(
    start_worker: Start, ledger: Ledger
) -> None:
    worker = start_worker("--only", "service", "--worker-timeout", "0.1")
    job = await service.deaf.submit(600.0)
    ledger.wait_for("start")
    worker.send(signal.SIGTERM)
    assert worker.exit_code(15) == 0, worker.output
    assert "jobs in threads do not end" in worker.output
    assert await job.status() is upnext.JobStatus.QUEUED
    assert await job.cancel()


async def test_a_job_of_three_leases_runs_once(start_worker: Start, ledger: Ledger) -> None:
    start_worker("--only", "service")
    start_worker("--only", "service")
    with anyio.fail_after(30):
        assert (await (await service.nap.submit(4.5)).result()).attempts == 1
    assert ledger.count("start") == 1


async def test_a_job_that_blocks_the_loop_keeps_its_lease_and_is_named(
    start_worker: Start, ledger: Ledger
) -> None:
    first = start_worker("--only", "service")
    second = start_worker("--only", "service")
    with anyio.fail_after(30):
        future = await service.block.submit(4.5)
        assert (await future.result()).attempts == 1
    assert ledger.count("start") == 1
    lines = [*first.lines, *second.lines]
    assert any("blocked" in line and f"block ({future.job_id})" in line for line in lines), lines


async def test_a_frozen_worker_cannot_settle_what_was_rescued(
    start_worker: Start, ledger: Ledger, tmp_path: Path
) -> None:
    frozen = start_worker("--only", "service")
    future = await service.attend.submit(str(tmp_path / "enough"))
    ledger.wait_for("start")
    frozen.send(signal.SIGSTOP)
    healthy = start_worker("--only", "service")
    healthy.wait_for("is queued again")
    ledger.wait_for("start", 2)
    frozen.send(signal.SIGCONT)
    ledger.wait_for("cancelled")  # its copy is cancelled at once, not when it is done
    (tmp_path / "enough").touch()
    with anyio.fail_after(30):
        result = await future.result()
    assert result.value == "rested"
    ends = [pid for event, _, _, pid in ledger.entries() if event == "end"]
    assert ends == [healthy.pid]


async def test_one_unencodable_result_fails_alone(start_worker: Start) -> None:
    start_worker("--only", "service")
    bad = await service.unencodable.submit()
    good = await upnext.submit_many(service.touch, [{"n": n} for n in range(100)])
    with anyio.fail_after(30):
        assert await upnext.gather(*good) == list(range(100))
        with pytest.raises(upnext.TaskExecutionError, match="result"):
            await bad.value()


@LOOPS
async def test_a_tree_deeper_than_the_concurrency_completes(
    start_worker: Start, loop: list[str]
) -> None:
    start_worker(*loop, "--only", "service", "--concurrency", "1")
    with anyio.fail_after(30):
        assert await (await service.tree.submit(4)).value() == 1


async def test_a_dying_worker_process_fails_its_job_only(start_worker: Start) -> None:
    start_worker("--only", "processes")
    with anyio.fail_after(30):
        with pytest.raises(upnext.TaskExecutionError):
            await (await service.die.submit()).value()
        assert isinstance(await (await service.spin.submit(0.0)).value(), int)


async def test_an_idle_worker_is_quiet_and_still_starts_a_job_at_once(
    server_url: str, redis_server: RedisServer, ledger: Ledger
) -> None:
    with workers(server_url, ledger.path) as start:
        start("--only", "service")
        await _idle(redis_server)


async def _idle(redis_server: RedisServer) -> None:
    await (await service.touch.submit(1)).value()
    commands = await anyio.to_thread.run_sync(commands_within, redis_server, 6.0)
    assert len(commands) / 6 <= 5, commands
    began = time.monotonic()
    await (await service.touch.submit(2)).value()
    assert time.monotonic() - began < 1.0  # far below the sweep that covers a lost wake-up


def commands_within(server: RedisServer, seconds: float) -> list[str]:
    """What came over connections in a stretch of time, without what scripts did themselves."""
    until, seen = time.monotonic() + seconds, b""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(server.socket_path))
        monitor.sendall(b"MONITOR\r\n")
        while (left := until - time.monotonic()) > 0:
            monitor.settimeout(left)
            with contextlib.suppress(TimeoutError):
                seen += monitor.recv(65536)
    lines = seen.decode(errors="replace").splitlines()[1:]
    return [line[:100] for line in lines if " lua]" not in line]


async def test_nothing_of_finished_jobs_stays_but_their_records(
    start_worker: Start, redis_server: RedisServer
) -> None:
    start_worker("--only", "service")
    futures = await upnext.submit_many(service.touch, [{"n": n} for n in range(500)])
    with anyio.fail_after(30):
        await upnext.gather(*futures)
    with redis_server.client(decode_responses=True) as client:
        lanes = list(client.scan_iter("upnext:*:lane:*"))
        assert lanes
        assert {client.xlen(lane) for lane in lanes} == {0}
        records = list(client.scan_iter("upnext:{local:touch}:job:*"))
        assert len(records) == 500
        assert min(client.ttl(record) for record in records) > 0
