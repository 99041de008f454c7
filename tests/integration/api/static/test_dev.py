"""Dev servers run as children of the API, and end with it."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from tests.support.asgi import ask
from tests.support.children import LIMIT, Lines, Watched, script
from upnext.api.static import StaticMounts
from upnext.api.static.dev import url_in
from upnext.errors import ConfigurationError

HTML = {"accept": "text/html"}
Project = Callable[..., Path]

SERVER = """
    import os, sys, time
    print("working on it", os.getpid())
    print("  \\x1b[32m➜\\x1b[0m  Local:   http://localhost:\\x1b[1m5173\\x1b[22m/app/")
    print("  ➜  Network: http://10.0.0.5:5173/app/")
    print("also http://localhost:9999/")
    sys.stdin.read()
"""


class Tell(logging.Handler):
    """Hands on messages as they come."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines(record.getMessage())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """What is logged of static files."""
    caplog.set_level(logging.INFO)
    logger, tell = logging.getLogger("upnext.api.static"), Tell(Lines())
    logger.addHandler(tell)
    yield tell.lines
    logger.removeHandler(tell)


def command(folder: Path, name: str, text: str) -> str:
    return " ".join(map(str, script(folder, name, text).words))


async def test_a_dev_server_runs_beside_the_api_and_ends_with_it(
    tmp_path: Path, log: Lines
) -> None:
    (tmp_path / "index.html").write_text("an old build")
    mounts = StaticMounts()
    mounts.add("/app", directory=tmp_path, dev_command=command(tmp_path, "dev.py", SERVER))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            await group.start(mounts.run_dev)
            pid = int(await log.find("/app | working on it "))
            server = Watched(pid)
            await log.find("/app | also")

            moved = await ask(mounts.serve, "/app/users/7 8/", HTML, query="a=1")
            assert moved.status == 307
            assert moved.headers["location"] == "http://localhost:5173/app/users/7%208/?a=1"
            start = await ask(mounts.serve, "/app", HTML)
            assert start.headers["location"] == "http://localhost:5173/app/"
            assert (await ask(mounts.serve, "/app/x.js", {"accept": "*/*"})).status == 404
            assert (await ask(mounts.serve, "/app/../x", HTML)).status == 404
            assert (await ask(mounts.serve, "/app//evil.example", HTML)).status == 404

            group.cancel_scope.cancel()
    await server.ended()
    assert (await ask(mounts.serve, "/app/", HTML)).body == b"an old build"


async def test_before_it_has_named_an_address_there_is_none(tmp_path: Path, log: Lines) -> None:
    mounts = StaticMounts()
    silent = "import sys; print('up'); sys.stdin.read()"
    mounts.add("/", directory=tmp_path, dev_command=command(tmp_path, "dev.py", silent))
    (tmp_path / "index.html").write_text("an old build")

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            await group.start(mounts.run_dev)
            await log.find("/ | up")
            assert (await ask(mounts.serve, "/", HTML)).status == 404
            group.cancel_scope.cancel()


async def test_one_that_ends_by_itself_is_reported_and_the_others_run_on(
    tmp_path: Path, log: Lines
) -> None:
    mounts = StaticMounts()
    failing = "print('syntax error in config'); raise SystemExit(3)"
    mounts.add("/", directory=tmp_path, dev_command=command(tmp_path, "fail.py", failing))
    mounts.add("/app", directory=tmp_path, dev_command=command(tmp_path, "dev.py", SERVER))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            await group.start(mounts.run_dev)
            said = await log.find("static files /: the dev server ")
            assert said.endswith("ended with exit code 3; start again to have it back")
            assert "/ | syntax error in config" in log.all
            await log.find("/app | also")
            assert (await ask(mounts.serve, "/app/", HTML)).status == 307
            group.cancel_scope.cancel()


async def test_it_is_over_when_all_have_ended(tmp_path: Path, log: Lines) -> None:
    mounts = StaticMounts()
    mounts.add("/", directory=tmp_path, dev_command=f"{sys.executable} -c pass")
    with anyio.fail_after(LIMIT):
        await mounts.run_dev()
    assert await log.find("static files /: the dev server ")


async def test_one_that_does_not_listen_is_killed_with_its_children(
    tmp_path: Path, log: Lines
) -> None:
    stubborn = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        print("pid", child.pid)
        time.sleep(1000)
    """
    mounts = StaticMounts()
    mounts.add("/", directory=tmp_path, dev_command=command(tmp_path, "dev.py", stubborn))
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            await group.start(partial(mounts.run_dev, grace=0.2))
            child = Watched(int(await log.find("/ | pid ")))
            group.cancel_scope.cancel()
    await child.ended()


async def test_a_missing_program_stops_the_start(tmp_path: Path) -> None:
    mounts = StaticMounts()
    mounts.add("/ok", directory=tmp_path, dev_command=command(tmp_path, "dev.py", SERVER))
    mounts.add("/app", directory=tmp_path, dev_command="no-such-program --port 1")

    with pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as group:
            await group.start(mounts.run_dev)
    matched = caught.group_contains(
        ConfigurationError, match="static files /app: no-such-program is not on PATH"
    )
    assert matched


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine")
async def test_npm_and_the_node_below_it_end_together(project: Project, log: Lines) -> None:
    code = "console.log('node', process.pid); setInterval(() => {}, 1e6)"
    mounts = StaticMounts()
    mounts.add("/", directory=project(dev=f'node -e "{code}"'), package_manager="npm")

    with anyio.fail_after(50):
        async with anyio.create_task_group() as group:
            await group.start(mounts.run_dev)
            node = Watched(int(await log.find("/ | node ")))
            group.cancel_scope.cancel()
    await node.ended()


async def test_plain_files_have_no_dev_server(tmp_path: Path) -> None:
    mounts = StaticMounts()
    mounts.add("/", directory=tmp_path)
    mounts.add("/gone", directory=tmp_path / "gone", dev_command="no-such-program")
    with anyio.fail_after(LIMIT):
        await mounts.run_dev()


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("Local: http://localhost:5173/", "http://localhost:5173/"),
        ("- Local:        http://localhost:3000", "http://localhost:3000/"),
        ("listening on http://0.0.0.0:8080/app.", "http://localhost:8080/app/"),
        ("at https://127.0.0.1:4200/x/ now", "https://127.0.0.1:4200/x/"),
        ("http://[::]:5000", "http://localhost:5000/"),
        ("http://[::1]:5000", "http://[::1]:5000/"),
        ("see http://example.org/", None),
        ("http://localhost.evil.example/", None),
        ("ready on http://localhost:3000.", "http://localhost:3000/"),
        ("http://192.168.1.2:5173/", None),
    ],
)
def test_addresses_of_this_machine(line: str, url: str | None) -> None:
    assert url_in(line) == url
