"""APIs and workers of one process: they start together, and end in order."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from tests.support.workers import STARTED, Ledger, WorkerProcess, workers

WEB = Path(__file__).parents[1] / "support" / "web.py"
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "trio"])
OPEN = 50


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the tests themselves; the processes run on both."""
    return "asyncio"


@pytest.fixture
def start(redis_url: str, ledger: Ledger):
    with workers(redis_url, ledger.path, program=WEB) as begin:
        yield begin


@asynccontextmanager
async def client_of(process: WorkerProcess) -> AsyncIterator[httpx.AsyncClient]:
    url = process.wait_for("listens at").rpartition(" ")[2].strip()
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits()) as client:
        yield client


@LOOPS
async def test_requests_and_then_jobs_end_at_a_signal(
    start: Callable[..., WorkerProcess], ledger: Ledger, loop: str
) -> None:
    service = start("--async-backend", loop, "--api-timeout", "3")
    answers: Counter[str] = Counter()

    async def ask(path: str) -> None:
        try:
            answer = await client.get(path)
        except httpx.TransportError as error:
            answers[type(error).__name__] += 1
        else:
            answers[str(answer.status_code)] += 1

    async with client_of(service) as client:
        assert (await client.get("/order/0.01")).json() == service.pid
        assert (await client.get("/runtime/ready")).status_code == 200
        async with anyio.create_task_group() as group:
            for _ in range(OPEN):
                group.start_soon(ask, "/order/1.5")  # waits for a job, which therefore goes on
            for _ in range(OPEN):
                group.start_soon(ask, "/slow/60")
            await anyio.to_thread.run_sync(ledger.wait_for, "start", OPEN + 1)
            service.send(signal.SIGTERM)
            began = time.monotonic()
    assert 3 <= time.monotonic() - began < 6
    assert answers == {"200": OPEN, "503": OPEN}
    assert service.exit_code() == 0, service.output
    assert ledger.count("end") == OPEN + 1
    lines = [line for line in service.lines if "stopped" in line]
    assert ["api counter" in lines[0], "worker kitchen" in lines[1]] == [True, True]


async def test_a_second_signal_cancels_open_requests(start: Callable[..., WorkerProcess]) -> None:
    service = start()
    async with client_of(service) as client, anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(httpx.TransportError):
                (await client.get("/slow/60")).raise_for_status()

        group.start_soon(ask)
        await anyio.sleep(0.3)
        service.send(signal.SIGTERM)
        await anyio.sleep(0.6)  # signals closer together than half a second count as one
        service.send(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(service.exit_code, 10) == 0, service.output


@LOOPS
async def test_processes_share_the_listening_socket_and_one_that_dies_loses_its_own_alone(
    start: Callable[..., WorkerProcess], loop: str
) -> None:
    service = start("--processes", "2", "--async-backend", loop)
    service.wait_for(STARTED, count=2)
    async with client_of(service) as client:
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(client.get, "/order/0.2")
        killed = int((await client.get("/order/0")).text)
        os.kill(killed, signal.SIGKILL)
        service.wait_for("SIGKILL")
    async with client_of(service) as client:  # the port is open all the time
        assert (await client.get("/order/0")).status_code == 200
    service.send(signal.SIGTERM)
    assert service.exit_code() == 0, service.output


def test_a_taken_port_ends_the_service_and_is_named(
    start: Callable[..., WorkerProcess], redis_url: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = tmp_path / "taken.py"
        program.write_text(
            f"import upnext\napi = upnext.Api('front', port={port})\nworker = upnext.Worker('w')\n"
        )
        for options in ((), ("--processes", "2")):
            service = WorkerProcess(redis_url, *options, program=program)
            try:
                assert service.exit_code() == 1
                assert f"api front: port {port} of 127.0.0.1 is in use" in service.output
                assert "Traceback" not in service.output
            finally:
                service.close()
