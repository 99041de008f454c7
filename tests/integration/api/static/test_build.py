"""Frontends are installed and built before the start, and a failure stops it."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tests.support.asgi import ask
from tests.support.children import LIMIT, Watched, stand_in
from upnext.api.static import PackageManager, StaticMounts
from upnext.api.static.build import build
from upnext.cli.explain import FAILURE, explain
from upnext.errors import ConfigurationError, StaticBuildError

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine")
NPM = PackageManager.NPM
Project = Callable[..., Path]

RECORD = """
import json, os, sys
from pathlib import Path
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:], os.getcwd()]) + "\\n")
if "build" in sys.argv:
    Path("dist").mkdir(exist_ok=True)
    Path("dist/index.html").write_text("built")
"""

STUCK = """
import os, time
with open({!r}, "w") as file:
    file.write(str(os.getpid()))
print("stuck", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    return folder


def recorded(tmp_path: Path) -> list[list[str]]:
    record = tmp_path / "record"
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


@needs_npm
async def test_npm_builds_and_the_result_is_served(project: Project) -> None:
    mounts = StaticMounts()
    mounts.add("/", directory=project(), package_manager=NPM, output="dist")

    with anyio.fail_after(50):
        await mounts.prepare()

    assert (await ask(mounts.serve, "/x", {"accept": "text/html"})).body == b"built"


@needs_npm
async def test_a_failing_build_says_why(project: Project) -> None:
    web = project(build="node -e \"console.log('no module x'); process.exit(4)\"")
    mounts = StaticMounts()
    mounts.add("/app", directory=web, package_manager=NPM, output="dist")

    with pytest.raises(StaticBuildError) as caught:
        await mounts.prepare()

    error = caught.value
    assert str(error) == "static files /app: `npm run build` ended with exit code 4"
    assert (error.path, error.command, error.code) == ("/app", "npm run build", 4)
    assert "no module x" in error.output
    shown = explain(error)
    assert shown is not None
    assert (str(shown), shown.code) == (str(error), FAILURE)
    assert "no module x" in shown.details.splitlines()
    assert pickle.loads(pickle.dumps(error)).output == error.output


async def test_the_last_lines_of_a_long_output_are_kept(tmp_path: Path, bin_folder: Path) -> None:
    stand_in(bin_folder, "npm", "for n in range(10**4): print(n)\nraise SystemExit(1)")
    mounts = StaticMounts()
    mounts.add("/", directory=tmp_path, package_manager=NPM, output="dist")

    with pytest.raises(StaticBuildError, match="`npm ci` ended with exit code 1") as caught:
        await mounts.prepare()
    assert caught.value.output == tuple(str(n) for n in range(10**4 - 200, 10**4))


@pytest.mark.parametrize(
    ("manager", "commands"),
    [
        ("bun", [["bun", "install", "--frozen-lockfile"], ["bun", "run", "build"]]),
        ("npm", [["npm", "ci"], ["npm", "run", "build"]]),
        ("yarn", [["yarn", "install", "--frozen-lockfile"], ["yarn", "build"]]),
        ("pnpm", [["pnpm", "install", "--frozen-lockfile"], ["pnpm", "build"]]),
    ],
)
async def test_each_package_manager_installs_then_builds(
    tmp_path: Path, project: Project, bin_folder: Path, manager: str, commands: list[list[str]]
) -> None:
    web = project()
    stand_in(bin_folder, manager, RECORD)
    mounts = StaticMounts()
    mounts.add("/", directory=web, package_manager=manager, output="dist")

    await mounts.prepare()

    assert recorded(tmp_path) == [[*command, str(web)] for command in commands]
    assert (await ask(mounts.serve, "/")).body == b"built"


async def test_corepack_brings_pnpm_where_there_is_none(
    tmp_path: Path, project: Project, bin_folder: Path
) -> None:
    bring = (
        "import shutil\nshutil.move(os.environ['PATH'] + '/later', os.environ['PATH'] + '/pnpm')"
    )
    stand_in(bin_folder, "corepack", RECORD + bring)
    stand_in(bin_folder, "later", RECORD)
    mounts = StaticMounts()
    mounts.add("/", directory=project(), package_manager="pnpm", output="dist")

    await mounts.prepare()

    assert [words[:2] for words in recorded(tmp_path)] == [
        ["corepack", "enable"], ["pnpm", "install"], ["pnpm", "build"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("manager", "line"),
    [
        ("bun", "bun is not on PATH, so `bun install --frozen-lockfile` cannot run: install it"),
        ("npm", "npm is not on PATH, so `npm ci` cannot run: install it (it comes with Node.js,"),
        ("yarn", "(npm install --global yarn), or start with --skip-build"),
        ("pnpm", "corepack is not on PATH, so `corepack enable` cannot run: install it (npm"),
    ],
)
@pytest.mark.usefixtures("bin_folder")
async def test_a_missing_package_manager_is_one_clear_line(
    project: Project, manager: str, line: str
) -> None:
    mounts = StaticMounts()
    mounts.add("/", directory=project(), package_manager=manager, output="dist")

    with pytest.raises(ConfigurationError) as caught:
        await mounts.prepare()
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_own_commands_are_run_without_a_shell(
    tmp_path: Path, project: Project, bin_folder: Path
) -> None:
    web = project()
    stand_in(bin_folder, "npm", RECORD)
    stand_in(web, "make-it", RECORD)
    command = "./make-it 'a; touch x' *.json && ./make-it build"
    mounts = StaticMounts()
    mounts.add("/", directory=web, package_manager=NPM, output="dist", build_command=command)

    await mounts.prepare()

    assert recorded(tmp_path)[1:] == [
        ["make-it", "a; touch x", "*.json", str(web)], ["make-it", "build", str(web)],
    ]  # fmt: skip


async def test_the_second_command_waits_for_the_first_to_succeed(
    tmp_path: Path, project: Project, bin_folder: Path
) -> None:
    stand_in(bin_folder, "npm", RECORD)
    stand_in(bin_folder, "fail", "raise SystemExit(2)")
    mounts = StaticMounts()
    mounts.add(
        "/", directory=project(), package_manager=NPM, output="dist",
        build_command="fail && npm run build",
    )  # fmt: skip

    with pytest.raises(StaticBuildError, match="`fail` ended with exit code 2"):
        await mounts.prepare()
    assert [words[:2] for words in recorded(tmp_path)] == [["npm", "ci"]]


async def test_a_program_that_cannot_run(project: Project, bin_folder: Path) -> None:
    web = project()
    (web / "broken").write_text("#!/no/such/interpreter\n")
    stand_in(bin_folder, "npm", RECORD)
    mounts = StaticMounts()
    mounts.add("/", directory=web, package_manager=NPM, output="dist", build_command="./broken")
    with pytest.raises(ConfigurationError, match=r"there is no program \./broken in"):
        await mounts.prepare()
    (web / "broken").chmod(0o755)
    with pytest.raises(ConfigurationError, match=r"`\./broken` cannot be started: No such file"):
        await mounts.prepare()


async def test_a_build_that_takes_too_long_is_ended(
    tmp_path: Path, project: Project, bin_folder: Path
) -> None:
    pid = tmp_path / "pid"
    stand_in(bin_folder, "npm", STUCK.format(str(pid)))
    mounts = StaticMounts()
    mounts.add("/", directory=project(), package_manager=NPM, output="dist")

    with pytest.raises(StaticBuildError, match=r"took longer than 1 s and was ended") as caught:
        await build(mounts, limit=1)
    assert (caught.value.code, caught.value.output) == (None, ("stuck",))
    with pytest.raises(ProcessLookupError):
        await Watched(int(pid.read_text())).ended()


async def test_a_cancelled_start_ends_the_build(project: Project, bin_folder: Path) -> None:
    web = project()
    fifo = web / "pid"
    os.mkfifo(fifo)
    stand_in(bin_folder, "npm", STUCK.format(str(fifo)))
    mounts = StaticMounts()
    mounts.add("/", directory=web, package_manager=NPM, output="dist")

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as group:
            group.start_soon(mounts.prepare)
            npm = Watched(int(await anyio.Path(fifo).read_text()))
            group.cancel_scope.cancel()
    await npm.ended()


async def test_one_project_is_installed_once_for_all_its_mounts(
    tmp_path: Path, project: Project, bin_folder: Path
) -> None:
    web = project()
    stand_in(bin_folder, "npm", RECORD)
    mounts = StaticMounts()
    mounts.add("/", directory=web, package_manager=NPM, output="dist")
    mounts.add("/admin", directory=web, package_manager=NPM, output="admin",
               build_command="npm run build -- admin")  # fmt: skip

    await mounts.prepare()

    assert [words[1] for words in recorded(tmp_path)] == ["ci", "run", "run"]


async def test_builds_can_be_skipped(
    tmp_path: Path, project: Project, bin_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web = project()
    stand_in(bin_folder, "npm", RECORD)
    mounts = StaticMounts()
    mounts.add("/", directory=web, package_manager=NPM, output="dist")

    await mounts.prepare(skip_build=True)
    await mounts.prepare(skip_build=True, dev=True)

    assert recorded(tmp_path) == []
    assert caplog.messages == [
        f"static files / are not served: there is no {web / 'dist'}, and nothing was built"
    ]


async def test_what_is_missing_is_named_and_skipped(
    tmp_path: Path, project: Project, bin_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web = project()
    stand_in(bin_folder, "npm", RECORD)
    mounts = StaticMounts()
    mounts.add("/a", directory=tmp_path / "none", package_manager=NPM, output="dist")
    mounts.add("/b", directory=web, output="none")
    mounts.add("/c", directory=web, package_manager=NPM, output="other")
    mounts.add("/d", directory=web)
    mounts.add("/e", directory=web, package_manager=NPM)
    caplog.set_level(logging.WARNING)

    await mounts.prepare()

    assert caplog.messages == [
        f"static files /a are not served: there is no directory {tmp_path / 'none'}",
        f"static files /b are not served: there is no directory {web / 'none'}",
        f"static files /c are not served: the build wrote no {web / 'other'}: see output=",
        f"static files /e: without output= nothing is built, and all of {web} is served",
    ]
    assert (await ask(mounts.serve, "/a/")).status == 404
    assert (await ask(mounts.serve, "/d/package.json")).status == 200


async def test_for_dev_servers_what_is_installed_stays(
    tmp_path: Path, project: Project, bin_folder: Path
) -> None:
    web, plain = project(), project("plain")
    stand_in(bin_folder, "npm", RECORD)
    mounts = StaticMounts()
    mounts.add("/", directory=web, package_manager=NPM, output="dist")
    mounts.add("/plain", directory=plain)

    await mounts.prepare(dev=True)
    assert [words[1] for words in recorded(tmp_path)] == ["ci"]
    (web / "node_modules").mkdir()
    await mounts.prepare(dev=True)
    assert [words[1] for words in recorded(tmp_path)] == ["ci"]
