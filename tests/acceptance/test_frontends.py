"""An API with a frontend, as the command line runs it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.command import environment, upnext
from tests.support.programs import Program

HTML = {"accept": "text/html"}
APP = """
import upnext

api = upnext.Api("shop", port=0)
api.static("/", directory="web", package_manager="npm", output="dist")


@api.get("/orders/{id}")
async def read(id: int) -> int:
    return id
"""
NPM = f"""#!{sys.executable}
import pathlib, sys

with open("../calls", "a") as calls:
    print(*sys.argv[1:], file=calls)
if sys.argv[1:] == ["run", "build"]:
    pathlib.Path("dist").mkdir(exist_ok=True)
    pathlib.Path("dist/index.html").write_text("built")
if sys.argv[1:] == ["run", "dev"]:
    print("Local: http://localhost:5173/", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., Program]]:
    """Start `upnext …` where app.py is, with a package manager that stands in for npm."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "web").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(NPM)
    npm.chmod(0o755)
    path = f"{npm.parent}{os.pathsep}{os.environ['PATH']}"
    env = environment(UPNEXT_REDIS_URL=redis_url, PATH=path)
    with ExitStack() as stack:

        def begin(*words: str) -> Program:
            program = Program("-m", "upnext", *words, cwd=tmp_path, env=env)
            stack.callback(program.close)
            return program

        yield begin


def calls(folder: Path) -> list[str]:
    made = folder / "calls"
    return made.read_text().splitlines() if made.exists() else []


def ask(program: Program, path: str = "/") -> httpx.Response:
    url = program.wait_for(" listens at ").split()[-1]
    return httpx.get(f"{url}{path}", headers=HTML, trust_env=False)


def stop(program: Program) -> None:
    program.send(signal.SIGINT)
    assert program.exit_code() == 0, program.output
    assert "Traceback" not in program.output


def test_run_builds_what_it_serves(start: Callable[..., Program], tmp_path: Path) -> None:
    program = start("run", "app.py")
    assert ask(program).text == "built"
    assert ask(program, "/orders/7").json() == 7
    assert calls(tmp_path) == ["ci", "run build"]
    stop(program)


def test_a_build_can_be_skipped(start: Callable[..., Program], tmp_path: Path) -> None:
    (tmp_path / "web/dist").mkdir()
    (tmp_path / "web/dist/index.html").write_text("built before")
    program = start("run", "app.py", "--skip-build")
    assert ask(program).text == "built before"
    assert calls(tmp_path) == []
    stop(program)


@pytest.mark.parametrize("words", [("run", "app.py", "--dev"), ("dev", "app.py")])
def test_dev_leads_to_the_dev_server(
    start: Callable[..., Program], tmp_path: Path, words: tuple[str, ...]
) -> None:
    program = start(*words)
    program.wait_for("Local: http://localhost:5173/")
    moved = ask(program, "/cart")
    assert (moved.status_code, moved.headers["location"]) == (307, "http://localhost:5173/cart")
    assert calls(tmp_path) == ["ci", "run dev"]
    stop(program)


def test_list_and_inspect_show_apis_and_what_they_mount(
    start: Callable[..., Program], tmp_path: Path
) -> None:
    listed = upnext("list", "app.py", cwd=tmp_path).stdout
    assert "shop" in listed
    assert "http://127.0.0.1" in listed
    assert "/orders/{id}" in upnext("inspect", "app.py", cwd=tmp_path).stdout
    (api,) = json.loads(upnext("inspect", "app.py", "--json", cwd=tmp_path).stdout)["apis"]
    assert (api["name"], api["port"], api["routes"]) == ("shop", 0, ["GET:/orders/{id}"])
    (mount,) = api["static_mounts"]
    assert (mount["path"], mount["package_manager"], mount["spa"]) == ("/", "npm", True)
    assert {"directory", "runtime_version", "build_command", "dev_command", "output"} < set(mount)
