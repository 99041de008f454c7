"""The command line in processes of its own: exit codes, streams, and no traceback of ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import RedisServer
from upnext import __version__
from upnext.contracts.keys import Keys
from upnext.model.identity import function_tag, new_job_id
from upnext.model.job import Held, NewJob
from upnext.model.outcome import Ending, Outcome
from upnext.redis.blocking import BlockingCaller
from upnext.redis.url import Address
from upnext.store.bounds import Bounds
from upnext.store.claim import claim_call, parse_claimed
from upnext.store.enqueue import enqueue_calls, parse_enqueued
from upnext.store.scripts import library
from upnext.store.settle import settle_calls

ROOT = Path(__file__).parents[2]

APP = """
import datetime
import upnext

worker = upnext.Worker("shop", concurrency=3)

@worker.task(retries=2, timeout=30)
def add(a: int, b: int = 1) -> int:
    print("adding")
    return a + b

@worker.task
async def greet(name: str) -> dict[str, str]:
    return {"text": f"Hello {name}", "id": upnext.get_current_context().function}

@worker.task
def plan(day: datetime.date) -> str:
    return f"{day:%A}"

@worker.task
def fail(why: str) -> None:
    raise RuntimeError(why)
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UPNEXT_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"} | more


def upnext(
    *words: str, cwd: Path, code: int | None = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; it must end with `code`, and without a traceback of ours."""
    done = subprocess.run(
        [sys.executable, "-m", "upnext", *words],
        cwd=cwd,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert f"{ROOT}{os.sep}upnext{os.sep}" not in done.stderr
    return done


def error_of(*words: str, cwd: Path, code: int, **env: str) -> str:
    """The one line that a command says which cannot do what was asked."""
    done = upnext(*words, cwd=cwd, code=code, **env)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("Error: ").strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


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
    heavy |= {"upnext.run", "upnext.worker", "upnext.client", "upnext.redis", "upnext.store"}
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
        (["call", "app.py", "add", "a=1", "c=1"], "The task add has no parameter c"),
        (["call", "app.py", "plan", "day=soon"], "The arguments of plan do not fit: day"),
        (["call", "app.py", "add", "--json", "{"], "--json is not JSON"),
        (["run", "missing.py"], "There is no file missing.py"),
        (["run", "nothing.here"], "There is no file or module nothing.here"),
        (["run", "."], ". is a directory"),
        (["run", "empty.py"], "No Worker found in empty.py"),
        (["run", "app.py", "--only", "shp"], "No worker named 'shp'. Did you mean 'shop'?"),
        (["run", "app.py", "--redis-url", "nowhere"], "'nowhere' is no Redis URL"),
        (["run", "app.py", "--no-such-option"], "--no-such-option"),
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


def test_scripts_named_like_modules_of_the_library(folder: Path) -> None:
    for stem in ("queue", "types_", "redis", "logging", "email"):
        shutil.copy(folder / "app.py", folder / f"{stem}.py")

    for stem in ("queue", "types_", "redis", "logging", "email"):
        assert "greet" in upnext("list", f"{stem}.py", cwd=folder).stdout


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


class Queue:
    """A producer and a worker made of bare verbs."""

    def __init__(self, url: str) -> None:
        self.keys, self.bounds = Keys(), Bounds()
        self.client = Address.parse(url).blocking_client()
        self._caller = BlockingCaller(self.client, library())

    def submit(self, function: str, **fields: Any) -> str:
        fields = {"arguments": b"{}"} | fields
        job = NewJob(id=new_job_id(function_tag(function)), function=function, **fields)
        calls = list(enqueue_calls(self.keys, self.bounds, [job]))
        (reply,) = self._caller.call_many(calls)
        (answer,) = parse_enqueued(reply)
        assert not isinstance(answer, Exception)
        return answer.id

    def claim(self, function: str, worker: str = "w.1") -> Held:
        call = claim_call(self.keys, self.bounds, worker, function, 1)
        (job,) = parse_claimed([function], self._caller.call_many([call])).jobs
        return Held(function, job.id, job.delivery)

    def settle(self, held: Held, ending: Ending, worker: str = "w.1", **fields: Any) -> None:
        outcome = Outcome(held=held, ending=ending, duration=5, **fields)
        self._caller.call_many(
            [call for call, _ in settle_calls(self.keys, self.bounds, worker, [outcome])]
        )

    def declare(self, *functions: str) -> None:
        for name in functions:
            self.client.hset(self.keys.functions, self.keys.function(name), name)

    def beat(self, worker: str, **record: Any) -> None:
        text = json.dumps({"id": worker, "worker_name": worker} | record)
        self.client.set(self.keys.worker(worker), text, px=30_000)


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    made = Queue(redis_url)
    yield made
    made.client.close()


def test_status_of_a_job_along_its_life(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    def status(job_id: str) -> dict[str, Any]:
        done = upnext("status", job_id, "--json", "--redis-url", redis_url, cwd=tmp_path)
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    job_id = queue.submit("add", arguments=b'{"a":9007199254740993,"b":[]}', priority=3)
    assert status(job_id)["status"] == "queued"
    assert status(job_id)["arguments"] == {"a": 9007199254740993, "b": []}

    held = queue.claim("add")
    assert (status(job_id)["status"], status(job_id)["worker"]) == ("running", "w.1")

    queue.settle(held, Ending.COMPLETE, result=b'"\\u001b[2J"')
    assert (status(job_id)["status"], status(job_id)["result"]) == ("complete", "\x1b[2J")
    table = upnext("status", job_id, cwd=tmp_path, UPNEXT_REDIS_URL=redis_url).stdout
    assert job_id in table
    assert "\x1b" not in table
    assert "9007199254740993" in table


def test_status_of_a_failed_job(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    job_id = queue.submit("add")
    error = {"type": "ValueError", "message": "no luck", "traceback": "File x\n", "reason": "x"}
    queue.settle(queue.claim("add"), Ending.FAILED, error=json.dumps(error).encode())

    text = upnext("status", job_id, "--redis-url", redis_url, cwd=tmp_path).stdout

    assert "failed" in text
    assert "ValueError: no luck\nFile x" in text


def test_status_of_no_job(redis_url: str, tmp_path: Path) -> None:
    job_id = f"add-{'0' * 32}"

    assert job_id in error_of("status", job_id, cwd=tmp_path, code=1, UPNEXT_REDIS_URL=redis_url)
    assert "'add' is not a job id" in error_of(
        "status", "add", cwd=tmp_path, code=2, UPNEXT_REDIS_URL=redis_url
    )


def test_cancel(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    url = ("--redis-url", redis_url)
    waiting = queue.submit("add")
    assert "is cancelled" in upnext("cancel", waiting, *url, cwd=tmp_path).stdout
    told = json.loads(upnext("status", waiting, "--json", *url, cwd=tmp_path).stdout)
    assert told["status"] == "cancelled"
    assert told["reason"] == "cancelled from the command line"

    running = queue.submit("add")
    queue.claim("add")
    done = upnext("cancel", running, "--reason", "wrong month", *url, cwd=tmp_path)
    assert "its worker was told" in done.stdout

    assert "had already finished" in error_of("cancel", waiting, *url, cwd=tmp_path, code=1)
    missing = f"add-{'0' * 32}"
    assert missing in error_of("cancel", missing, *url, cwd=tmp_path, code=1)


def test_cancel_a_tree(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    queue.declare("root", "leaf")
    root = queue.submit("root")
    child = queue.submit("leaf", parent_id=root, root_id=root)
    grandchild = queue.submit("leaf", parent_id=child, root_id=root)
    other = queue.submit("leaf")

    refused = error_of("cancel", child, "--tree", cwd=tmp_path, code=2, UPNEXT_REDIS_URL=redis_url)
    done = upnext("cancel", root, "--tree", cwd=tmp_path, UPNEXT_REDIS_URL=redis_url)

    assert f"cancel the tree from {root}" in refused
    assert f"{root} and 2 unfinished jobs below it" in done.stdout
    statuses = [
        queue.client.hget(queue.keys.job(job_id), "status")
        for job_id in (root, child, grandchild, other)
    ]
    assert statuses == [b"cancelled", b"cancelled", b"cancelled", b"queued"]


def test_health(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    nobody = upnext("health", "--redis-url", redis_url, cwd=tmp_path)
    assert "none is alive" in nobody.stdout

    queue.beat("email", concurrency=8, active_jobs=3, healthy=True)
    queue.beat("evil\x1b[2J", healthy=True)
    alive = upnext("health", "--redis-url", redis_url, cwd=tmp_path)
    assert "2 alive" in alive.stdout
    assert "3 of 8" in alive.stdout
    assert "\x1b" not in alive.stdout

    queue.beat("deaf", healthy=False)
    sick = upnext("health", "--json", "--redis-url", redis_url, cwd=tmp_path, code=1)
    told = json.loads(sick.stdout)
    assert told["healthy"] is False
    assert [w["name"] for w in told["workers"] if not w["healthy"]] == ["deaf"]


def test_health_of_a_broker_that_is_not_there(tmp_path: Path) -> None:
    line = error_of("health", "--redis-url", "redis://127.0.0.1:1/0", cwd=tmp_path, code=1)

    assert line.startswith("The broker cannot be reached: ")
    assert "127.0.0.1:1" in line


def test_a_broker_that_refuses_is_not_one_that_is_gone(start_server: Any, tmp_path: Path) -> None:
    server: RedisServer = start_server("redis", options=("--requirepass", "secret"))

    line = error_of("health", "--redis-url", server.url, cwd=tmp_path, code=1)

    assert line.startswith("The broker refused: ")
    assert "password" in line


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

    def stop(self) -> int:
        """SIGTERM; the rest of the log is in `seen`, the answer is the exit code."""
        self.process.send_signal(signal.SIGTERM)
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


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_shows_what_runs_and_drains_at_sigterm(
    start: Any, folder: Path, redis_url: str, backend: str
) -> None:
    running = start("app.py", "--async-backend", backend, cwd=folder, UPNEXT_REDIS_URL=redis_url)

    running.wait_for("started")
    for part in ("shop", "add, greet, plan, fail", backend, redis_url, "Ctrl+C to stop"):
        assert part in running.seen
    assert running.stop() == 0
    assert "Traceback" not in running.seen


def test_run_with_json_logs_writes_json_alone(start: Any, folder: Path, redis_url: str) -> None:
    running = start("app.py", "--log-format", "json", cwd=folder, UPNEXT_REDIS_URL=redis_url)

    running.wait_for("started")
    assert running.stop() == 0

    entries = [json.loads(line) for line in running.seen.splitlines()]
    assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in entries)
    assert entries[0]["worker"] == "shop"
    assert entries[0]["functions"] == ["add", "greet", "plan", "fail"]


def test_only_the_named_workers_run(start: Any, folder: Path, redis_url: str) -> None:
    (folder / "other.py").write_text("import upnext\nworker = upnext.Worker('reports')\n")
    running = start(
        *("app.py", "other.py", "--only", "shop", "--concurrency", "5", "--log-format", "json"),
        cwd=folder,
        UPNEXT_REDIS_URL=redis_url,
    )

    running.wait_for("started")
    assert running.stop() == 0

    entries = [json.loads(line) for line in running.seen.splitlines()]
    assert entries[0]["concurrency"] == 5
    assert "reports" not in running.seen


def test_a_script_called_queue_runs_jobs_in_worker_processes(
    start: Any, queue: Queue, folder: Path, redis_url: str
) -> None:
    (folder / "queue.py").write_text(
        "import os\nfrom queue import Queue\nimport upnext\n"
        "worker = upnext.Worker('q', sync_executor=upnext.SyncExecutor.PROCESS)\n"
        "@worker.task\n"
        "def where(parent: int) -> list[object]:\n"
        "    return [os.getpid() != parent, Queue.__module__, os.path.basename(__file__)]\n"
    )
    running = start("queue.py", "--log-format", "json", cwd=folder, UPNEXT_REDIS_URL=redis_url)
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
    done = upnext("run", "app.py", "--redis-url", "redis://127.0.0.1:1/0", cwd=folder, code=1)

    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_password_is_shown(folder: Path) -> None:
    url = "rediss://ada:secret@127.0.0.1:1/0"
    done = upnext("run", "app.py", "--redis-url", url, cwd=folder, code=1)

    assert "secret" not in done.stderr
    assert "ada@127.0.0.1" in done.stderr
