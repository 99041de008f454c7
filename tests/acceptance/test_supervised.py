"""Several processes under one parent, with real signals: nobody lost, nobody left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import upnext
from tests.support import service
from tests.support.children import Watched
from tests.support.command import error_of
from tests.support.workers import STARTED, Ledger, WorkerProcess

Start = Callable[..., WorkerProcess]
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "trio"])

APP = """
import anyio
import upnext
from upnext import Worker

VERSION = 1
worker = Worker("service", concurrency=10)

@worker.task
async def touch(n: int) -> int:
    if VERSION == 1:
        print("a job has begun", flush=True)
        await anyio.sleep(60)
    return VERSION
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the tests themselves; the processes run on both."""
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program of this test, `start("dev", "app.py")`; it ends with the test."""
    with ExitStack() as stack:

        def begin(command: str, program: str, *options: str, url: str | None = None) -> Any:
            process = WorkerProcess(
                url,
                *options,
                env={"UPNEXT_REDIS_URL": ""},
                program=Path(program),
                command=command,
                cwd=tmp_path,
            )
            stack.callback(process.close)
            return process

        yield begin


@LOOPS
async def test_a_killed_process_is_replaced_and_all_jobs_run_to_their_end(
    start_worker: Start, ledger: Ledger, loop: str
) -> None:
    parent = start_worker("--processes", "3", "--only", "service", "--async-backend", loop)
    parent.wait_for(STARTED, count=3)
    futures = await upnext.submit_many(service.nap, [{"seconds": 0.3}] * 90)
    ledger.wait_for("start", 30)
    pids = {pid for _, _, _, pid in ledger.entries()}
    assert parent.pid not in pids
    victim = pids.pop()
    os.kill(victim, signal.SIGKILL)
    line = parent.wait_for("SIGKILL")
    assert f"pid {victim}" in line
    assert "starting it again" in line
    parent.wait_for(STARTED, count=4)
    with anyio.fail_after(30):
        assert [await future.value() for future in futures] == ["rested"] * 90
    ended = [job_id for event, job_id, _, _ in ledger.entries() if event == "end"]
    assert sorted(ended) == sorted(future.job_id for future in futures)

    before = ledger.count("start")
    last = await upnext.submit_many(service.nap, [{"seconds": 1.0}] * 9)
    ledger.wait_for("start", before + 9)
    parent.send(signal.SIGTERM)
    assert parent.exit_code() == 0, parent.output
    assert [await future.status() for future in last] == [upnext.JobStatus.COMPLETE] * 9
    assert ledger.count("cancelled") == 0


@LOOPS
async def test_no_process_outlives_a_killed_parent(
    start_worker: Start, ledger: Ledger, loop: str
) -> None:
    parent = start_worker("--processes", "2", "--only", "service", "--async-backend", loop)
    parent.wait_for(STARTED, count=2)
    futures = await upnext.submit_many(service.nap, [{"seconds": 1.0}] * 30)
    ledger.wait_for("start", 30)
    pids = {pid for _, _, _, pid in ledger.entries()}
    assert len(pids) == 2
    watched = [Watched(pid) for pid in pids]
    parent.kill()
    for process in watched:
        await process.ended()
    assert [await future.status() for future in futures] == [upnext.JobStatus.COMPLETE] * 30


async def test_a_second_signal_reaches_all_processes(start_worker: Start, ledger: Ledger) -> None:
    parent = start_worker("--processes", "2", "--only", "service")
    parent.wait_for(STARTED, count=2)
    futures = await upnext.submit_many(service.nap, [{"seconds": 60.0}] * 20)
    ledger.wait_for("start", 20)
    parent.send(signal.SIGTERM)
    parent.wait_for("draining")
    await anyio.sleep(0.6)  # signals closer together than half a second count as one
    parent.send(signal.SIGTERM)
    assert parent.exit_code(10) == 0, parent.output
    assert {await future.status() for future in futures} == {upnext.JobStatus.QUEUED}
    assert ledger.count("cancelled") == 20
    for future in futures:
        await future.cancel()


@pytest.mark.parametrize(
    "text",
    [
        "import upnext\nworker = upnext.Worker('w', concurrency=0)\n",
        "this is (\n",
        "import a_module_that_is_not_there\n",
    ],
)
def test_what_cannot_run_is_said_once_and_given_up(start: Start, tmp_path: Path, text: str) -> None:
    (tmp_path / "app.py").write_text(text)
    parent = start("run", "app.py", "--processes", "4")
    assert parent.exit_code() == 1
    assert parent.output.count("Error: app.py cannot be imported") == 1
    assert "giving up" in parent.lines[-1]


def test_an_option_that_cannot_work_starts_nothing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    assert "no file missing.py" in error_of("run", "missing.py", "--reload", cwd=tmp_path, code=2)
    assert "--processes" in error_of("run", "app.py", "--processes", "0", cwd=tmp_path, code=2)


@LOOPS
async def test_an_edit_runs_the_new_code_and_loses_no_job(
    start: Start, server_url: str, tmp_path: Path, loop: str
) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    parent = start("run", "app.py", "--reload", "--async-backend", loop, url=server_url)
    parent.wait_for(STARTED)
    futures = await upnext.submit_many(service.touch, [{"n": n} for n in range(20)])
    parent.wait_for("a job has begun", count=10)
    app.write_text(APP.replace("VERSION = 1", "VERSION = 2"))
    with anyio.fail_after(20):
        results = [await future.result() for future in futures]
    assert {(result.value, result.attempts) for result in results} == {(2, 1)}

    app.write_text("this is (")
    parent.wait_for("SyntaxError")
    parent.wait_for("waiting for a change")
    waiting = await service.touch.submit(1)
    app.write_text(APP.replace("VERSION = 1", "VERSION = 3"))
    with anyio.fail_after(20):
        assert await waiting.value() == 3
    parent.send(signal.SIGTERM)
    assert parent.exit_code() == 0, parent.output


async def test_dev_shows_where_all_is_and_ends_at_ctrl_c(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        APP + "api = upnext.Api('shop', port=0)\n@api.get('/hello')\n"
        "async def hello() -> str:\n    return 'hello'\n"
    )
    parent = start("dev", "app.py")
    parent.wait_for(STARTED)
    url = parent.wait_for("listens at").rpartition(" ")[2].strip()
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/hello")).status_code == 200
    parent.wait_for("Ctrl+C to stop")
    for part in ("shop", "http://127.0.0.1", "/docs", "service", "touch", "embedded", "Ctrl+C"):
        assert part in parent.output
    server = int((tmp_path / ".upnext" / "server.pid").read_text())
    watched = Watched(server)
    began = time.monotonic()
    parent.send(signal.SIGINT)
    assert parent.exit_code() == 0, parent.output
    assert time.monotonic() - began < 5
    await watched.ended()
    assert "Traceback" not in parent.output
