"""Lifespan, middleware, hooks, artifacts and discovery together, in real worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

import upnext
from tests.acceptance.test_cli_run import Running
from tests.support.artifact_server import ArtifactServer, artifact_server
from tests.support.command import upnext as command

WORKER = """
import os
import upnext

def note(text):
    with open("ledger", "a") as ledger:
        ledger.write(f"{text}\\n")

async def lifespan(worker):
    note(f"open {worker.name}")
    yield {"answer": 42}
    note(f"close {worker.name}")

packages = ["shop.jobs"]
worker = upnext.Worker("shop", lifespan=lifespan, autodiscover_packages=packages)
processes = upnext.Worker("processes", lifespan=lifespan, sync_executor="process")

@worker.middleware
@processes.middleware
async def look(ctx):
    result = yield
    note(f"{ctx.function} {ctx.state['answer']} {result} {os.getpid()}")
"""
JOBS = """
import os
from pathlib import Path
import upnext
from shop.worker import note, processes, worker

def complete(ctx):
    note(f"complete {ctx.function} {ctx.state['answer']}")

@worker.task(on_complete=complete)
async def awaited() -> str:
    made = await upnext.create_artifact("data.bin", b"awaited")
    return made.sha256

@worker.task(on_complete=complete)
def threaded() -> str:
    return upnext.create_artifact_sync("data.bin", b"threaded").sha256

@processes.task(on_complete=complete)
def processed() -> str:
    assert upnext.get_current_context().state is None
    Path("page.html").write_text("<p>")
    assert upnext.create_artifact_sync("page", Path("page.html")).type == "file/html"
    return upnext.create_artifact_sync("data.bin", b"processed").sha256
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    jobs = tmp_path / "shop" / "jobs"
    jobs.mkdir(parents=True)
    for folder in (jobs, jobs.parent):
        (folder / "__init__.py").write_text("")
    (jobs.parent / "worker.py").write_text(WORKER)
    (jobs / "make.py").write_text(JOBS)
    return tmp_path


@pytest.fixture
def start(shop: Path, redis_url: str) -> Iterator[Any]:
    with ExitStack() as stack:

        def begin(*words: str, **env: str) -> Running:
            running = Running("shop/worker.py", *words, cwd=shop, UPNEXT_REDIS_URL=redis_url, **env)
            stack.callback(running.close)
            return running

        yield begin


@pytest.fixture
def server() -> Iterator[ArtifactServer]:
    with artifact_server() as running:
        yield running


@pytest.mark.parametrize("kind", ["awaited", "threaded", "processed"])
async def test_all_of_it_works_for_every_kind_of_job(
    start: Any, shop: Path, redis_url: str, server: ArtifactServer, anyio_backend: str, kind: str
) -> None:
    worker = start("--async-backend", anyio_backend, UPNEXT_URL=server.url)
    declared = upnext.Worker(redis_url=redis_url)

    @declared.task(name=kind)
    async def make() -> str: ...

    with anyio.fail_after(40):
        result = await make.wait()
    digest = hashlib.sha256(kind.encode()).hexdigest()
    assert result.value == digest
    assert worker.stop() == 0, worker.seen
    lines = read(shop / "ledger")
    busy, idle = ("processes", "shop") if kind == "processed" else ("shop", "processes")
    lines.remove(f"close {idle}")  # that worker has nothing to wait for
    assert sorted(lines[:2]) == ["open processes", "open shop"]
    assert lines[2] == f"{kind} 42 {digest} {worker.process.pid}"  # it ran in the parent
    assert lines[3] == f"complete {kind} 42"
    assert lines[4:] == [f"close {busy}"]
    bodies = [request.body for request in server.stored.values()]
    assert bodies == ([b"<p>"] if kind == "processed" else []) + [kind.encode()]
    for request in server.stored.values():
        assert request.path == f"/api/v1/jobs/{result.job_id}/artifacts"


def read(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_lifespan_that_fails_ends_the_worker_with_one_line(shop: Path, redis_url: str) -> None:
    (shop / "app.py").write_text(
        "import upnext\n"
        "async def lifespan(worker):\n"
        "    raise OSError('no\\ndatabase')\n"
        "    yield\n"
        "worker = upnext.Worker('shop', lifespan=lifespan)\n"
        "@worker.task\n"
        "def work(): ...\n"
    )
    run = command("run", "app.py", cwd=shop, code=1, UPNEXT_REDIS_URL=redis_url)
    (line,) = [line for line in run.stderr.splitlines() if "lifespan" in line]
    assert "worker shop: the lifespan failed at the start: OSError: no database" in line
    assert "Traceback" not in run.stderr


def test_when_one_worker_ends_by_itself_the_others_drain(shop: Path, redis_url: str) -> None:
    (shop / "app.py").write_text(
        "import upnext\n"
        "async def lifespan(worker):\n"
        "    raise OSError('no database')\n"
        "    yield\n"
        "broken = upnext.Worker('broken', lifespan=lifespan)\n"
        "sound = upnext.Worker('sound')\n"
        "@sound.task\n"
        "def work(): ...\n"
    )
    run = command("run", "app.py", cwd=shop, code=1, UPNEXT_REDIS_URL=redis_url)
    assert "worker broken: the lifespan failed at the start" in run.stderr
    assert "worker sound stopped" in run.stderr
    assert "Traceback" not in run.stderr
