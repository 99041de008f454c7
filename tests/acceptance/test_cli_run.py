"""`upnext run` in a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import environment, upnext
from tests.support.jobs import Queue


class Running:
    """`upnext run …`, until the test is over."""

    def __init__(self, *words: str, cwd: Path, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "upnext", "run", *words],
            cwd=cwd,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen = ""

    def wait_for(self, text: str) -> str:
        """Read the log up to a line that has this text."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.seen += line
            if text in line:
                return line
        raise AssertionError(f"no {text!r} in the log:\n{self.seen}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it; the rest of the log is in `seen`, the answer is the exit code."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.seen += self.process.stderr.read()
        return self.process.wait(30)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def start() -> Iterator[Any]:
    with ExitStack() as stack:

        def begin(*words: str, cwd: Path, **env: str) -> Running:
            running = Running(*words, cwd=cwd, **env)
            stack.callback(running.close)
            return running

        yield begin


@pytest.mark.parametrize(
    ("backend", "number"), [("asyncio", signal.SIGTERM), ("trio", signal.SIGINT)]
)
def test_run_shows_what_runs_and_drains_at_a_signal(
    start: Any, folder: Path, redis_url: str, backend: str, number: signal.Signals
) -> None:
    running = start("app.py", "--async-backend", backend, cwd=folder, UPNEXT_REDIS_URL=redis_url)

    running.wait_for("Ctrl+C to stop")
    assert running.seen.index("worker shop started") < running.seen.index("╭")
    for part in ("shop", "add, greet, plan, fail", backend, redis_url, "Ctrl+C to stop"):
        assert part in running.seen
    assert running.stop(number) == 0
    assert "Traceback" not in running.seen


def test_run_with_json_logs_writes_json_alone(start: Any, folder: Path, redis_url: str) -> None:
    running = start("app.py", "--log-format", "json", cwd=folder, UPNEXT_REDIS_URL=redis_url)

    running.wait_for("worker shop runs")
    assert running.stop() == 0

    entries = [json.loads(line) for line in running.seen.splitlines()]
    assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in entries)
    (told,) = [entry for entry in entries if "functions" in entry]
    assert told["worker"] == "shop"
    assert told["functions"] == ["add", "greet", "plan", "fail"]


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["alone", "supervised"])
def test_a_port_that_is_taken_is_said_without_a_panel(
    folder: Path, redis_url: str, options: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (folder / "web.py").write_text(
            f"import upnext\napi = upnext.Api('web', host='127.0.0.1', port={port})\n"
        )
        words = ("run", "app.py", "web.py", *options)
        done = upnext(*words, cwd=folder, code=1, UPNEXT_REDIS_URL=redis_url)
    assert f"{port}" in done.stderr
    assert "Ctrl+C" not in done.stderr


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["alone", "supervised"])
def test_two_tasks_of_one_name_are_said_without_a_panel(
    folder: Path, redis_url: str, options: tuple[str, ...]
) -> None:
    (folder / "more.py").write_text(
        "import upnext\nworker = upnext.Worker('more')\n@worker.task\ndef add() -> None: ...\n"
    )
    words = ("run", "app.py", "more.py", *options)
    done = upnext(*words, cwd=folder, code=1 if options else 2, UPNEXT_REDIS_URL=redis_url)
    assert done.stderr.count("Error: two tasks are called 'add'") == 1
    assert "Ctrl+C" not in done.stderr


def test_only_the_named_workers_run(start: Any, folder: Path, redis_url: str) -> None:
    (folder / "other.py").write_text("import upnext\nworker = upnext.Worker('reports')\n")
    running = start(
        *("app.py", "other.py", "--only", "shop", "--concurrency", "5", "--log-format", "json"),
        cwd=folder,
        UPNEXT_REDIS_URL=redis_url,
    )

    running.wait_for("worker shop runs")
    assert running.stop() == 0

    entries = [json.loads(line) for line in running.seen.splitlines()]
    assert [entry["concurrency"] for entry in entries if "concurrency" in entry] == [5]
    assert "reports" not in running.seen


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_script_called_queue_runs_jobs_in_worker_processes(
    start: Any, queue: Queue, folder: Path, redis_url: str, backend: str
) -> None:
    (folder / "queue.py").write_text(
        "import os\nfrom queue import Queue\nimport upnext\n"
        "worker = upnext.Worker('q', sync_executor=upnext.SyncExecutor.PROCESS)\n"
        "@worker.task\n"
        "def where(parent: int) -> list[object]:\n"
        "    return [os.getpid() != parent, Queue.__module__, os.path.basename(__file__)]\n"
    )
    words = ("queue.py", "--log-format", "json", "--async-backend", backend)
    running = start(*words, cwd=folder, UPNEXT_REDIS_URL=redis_url)
    running.wait_for("started")
    arguments = json.dumps({"parent": running.process.pid}).encode()
    channel = queue.keys.waiter_channel("test")

    with queue.client.pubsub(ignore_subscribe_messages=True) as ears:
        ears.subscribe(channel)
        ears.get_message(timeout=5)  # the subscription stands
        queue.submit("where", arguments=arguments, waiter=channel)
        message = ears.get_message(timeout=30)

    assert message is not None
    notice = json.loads(message["data"])
    assert (notice["status"], notice["error"]) == ("complete", None)
    assert notice["result"] == [True, "queue", "queue.py"]
    assert running.stop() == 0


def test_run_against_a_broker_that_is_not_there(folder: Path) -> None:
    url = "redis://ada:secret@127.0.0.1:1/0"

    done = upnext("run", "app.py", "--redis-url", url, cwd=folder, code=1)

    assert "cannot reach Redis at redis://ada@127.0.0.1:1/0" in done.stderr.splitlines()[-1]
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
