"""The command line in processes of its own: exit codes, streams, and no traceback of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.command import environment, error_of, upnext
from tests.support.servers import find_binary
from upnext import __version__


def test_version_and_help(tmp_path: Path) -> None:
    assert upnext("--version", cwd=tmp_path).stdout == f"{__version__}\n"
    assert "Usage: upnext COMMAND" in upnext("--help", cwd=tmp_path).stdout
    assert "FILES..." in upnext("run", "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words: Sequence[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "upnext", *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "upnext.cli.main" in imported
    heavy = {"anyio", "trio", "asyncio", "redis", "hiredis", "cattrs", "orjson", "dotenv"}
    heavy |= {"upnext.runner", "upnext.worker", "upnext.client", "upnext.redis", "upnext.store"}
    assert not heavy & imported


def test_list_and_inspect(folder: Path) -> None:
    listing = upnext("list", "app.py", cwd=folder).stdout
    inspection = upnext("inspect", "app.py", cwd=folder).stdout
    document = json.loads(upnext("inspect", "app.py", "--json", cwd=folder).stdout)

    for text in (listing, inspection):
        assert all(name in text for name in ("shop", "add", "greet", "fail"))
    (shop,) = document["workers"]
    assert document["apis"] == []
    assert (shop["name"], shop["concurrency"]) == ("shop", 3)
    assert shop["tasks"][0] == {"name": "add", "retries": 2, "timeout": 30.0}


def test_call_prints_the_result_on_stdout_alone(folder: Path) -> None:
    done = upnext("call", "app.py", "greet", "name=Ada", cwd=folder)

    assert json.loads(done.stdout) == {"text": "Hello Ada", "id": "greet"}
    assert "greet completed in" in done.stderr


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_call_runs_on_either_backend(folder: Path, backend: str) -> None:
    (folder / "loops.py").write_text(
        "import upnext\nfrom anyio import get_cancelled_exc_class\n"
        "worker = upnext.Worker('loops')\n"
        "@worker.task\n"
        "async def which() -> str:\n"
        "    return get_cancelled_exc_class().__module__.split('.')[0]\n"
    )
    done = upnext("call", "loops.py", "which", "--async-backend", backend, cwd=folder)

    assert json.loads(done.stdout) == backend


def test_call_with_arguments_of_every_kind(folder: Path) -> None:
    done = upnext("call", "app.py", "add", "a=2", "--json", '{"a": 40, "b": 40}', cwd=folder)

    assert done.stdout.splitlines() == ["adding", "42"]
    assert upnext("call", "app.py", "plan", "day=2026-01-01", cwd=folder).stdout == '"Thursday"\n'


def test_a_task_that_raises_shows_the_users_frames(folder: Path) -> None:
    done = upnext("call", "app.py", "fail", "why=no luck", cwd=folder, code=1)

    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "Error: fail failed: RuntimeError: no luck"
    assert "app.py" in done.stderr
    assert "in fail" in done.stderr


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["call", "app.py", "ad", "a=1"], "No task named 'ad'. Did you mean 'add'?"),
        (["call", "app.py", "add"], "The task add needs a: it is declared as add(a: "),
        (["call", "app.py", "plan", "day=soon"], "The arguments of plan do not fit: day"),
        (["run", "missing.py"], "There is no file missing.py"),
        (["run", "."], ". is a directory"),
        (["run", "empty.py"], "No Api or Worker found in empty.py"),
        (["run", "app.py", "--only", "shp"], "No worker named 'shp'. Did you mean 'shop'?"),
        (["run", "app.py", "--redis-url", "nowhere"], "'nowhere' is no Redis URL"),
        (["start", "app.py"], 'Unknown command "start"'),
    ],
)
def test_what_cannot_be_done_as_asked(folder: Path, words: Sequence[str], part: str) -> None:
    (folder / "empty.py").write_text("worker = 1\n")

    assert part in error_of(*words, cwd=folder, code=2)


def test_a_broken_file_shows_its_own_frames(folder: Path) -> None:
    (folder / "broken.py").write_text("def f():\n    raise KeyError('x')\n\nf()\n")

    done = upnext("run", "broken.py", cwd=folder, code=1)

    *frames, line = done.stderr.splitlines()
    assert line == "Error: broken.py cannot be imported: KeyError: 'x'"
    assert "in f" in "\n".join(frames)


def test_scripts_named_like_modules_of_the_library_and_of_others(folder: Path) -> None:
    files = [f"{stem}.py" for stem in ("queue", "redis", "logging", "email", "selectors")]
    for file in files:
        shutil.copy(folder / "app.py", folder / file)

    document = json.loads(upnext("inspect", *files, "--json", cwd=folder).stdout)

    assert [worker["name"] for worker in document["workers"]] == ["shop"] * len(files)


def test_two_files_with_one_stem(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "tasks.py").write_text(
            f"import upnext\nworker = upnext.Worker('{name}')\n"
            f"@worker.task\ndef {name}_task() -> None: ...\n"
        )

    document = json.loads(
        upnext("inspect", "one/tasks.py", "two/tasks.py", "--json", cwd=folder).stdout
    )

    assert [worker["name"] for worker in document["workers"]] == ["one", "two"]


def test_one_worker_in_two_files_counts_once(folder: Path) -> None:
    (folder / "other.py").write_text("from app import worker\n")

    for files in (["app.py", "other.py"], ["other.py", "app.py"], ["app", "./app.py", "other"]):
        document = json.loads(upnext("inspect", *files, "--json", cwd=folder).stdout)
        assert [worker["name"] for worker in document["workers"]] == ["shop"]


def test_a_file_in_a_package_and_its_module_are_the_same(folder: Path) -> None:
    package = folder / "store" / "jobs"
    package.mkdir(parents=True)
    for one in (folder / "store", package):
        (one / "__init__.py").touch()
    (folder / "store" / "names.py").write_text("NAME = 'relative'\n")
    (package / "mail.py").write_text(
        "import upnext\nfrom ..names import NAME\nworker = upnext.Worker(NAME)\n"
    )

    for files in (["store.jobs.mail", "store/jobs/mail.py"], ["store/jobs/mail.py"]):
        document = json.loads(upnext("inspect", *files, "--json", cwd=folder).stdout)
        assert [worker["name"] for worker in document["workers"]] == ["relative"]


def test_a_module_is_found_in_the_working_directory_alone(folder: Path) -> None:
    # As the installed `upnext` script starts: Python itself does not look there.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "upnext", "list", "app"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "shop" in done.stdout


def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "upnext", "inspect", "app.py", "--json"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(40) == 1


def test_without_a_url_the_embedded_server_is_asked(tmp_path: Path) -> None:
    if find_binary("valkey") is None and find_binary("redis") is None:
        pytest.skip("no server program on this machine")
    job_id = f"add-{'0' * 32}"

    assert error_of("status", job_id, cwd=tmp_path, code=1).startswith(f"no job {job_id}")
    assert (tmp_path / ".upnext").is_dir()
