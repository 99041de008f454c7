"""`status`, `cancel` and `health` against a real broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.command import error_of, upnext
from tests.support.jobs import Queue
from tests.support.servers import RedisServer
from upnext.model.lineage import child_path
from upnext.model.outcome import Ending


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


def test_status_of_a_job_that_no_living_worker_runs(
    queue: Queue, redis_url: str, tmp_path: Path
) -> None:
    def status() -> tuple[str, Any]:
        words = ("status", job_id, "--redis-url", redis_url)
        text = upnext(*words, cwd=tmp_path).stdout
        return text, json.loads(upnext(*words, "--json", cwd=tmp_path).stdout)["served"]

    job_id = queue.submit("add", delay=60_000)
    queue.beat("other", functions=["mail"])
    queue.beat("of another release")
    text, served = status()
    assert "no worker that is alive runs this function" in text
    assert served is False

    queue.beat("shop", functions=["mail", "add"])
    text, served = status()
    assert "no worker" not in text
    assert served is True


def test_health_names_functions_with_waiting_jobs_that_nobody_runs(
    queue: Queue, redis_url: str, tmp_path: Path
) -> None:
    queue.declare("add", "mail", "renamed", "empty")
    for function in ("add", "mail"):
        queue.submit(function)
    for fields in ({}, {"priority": 3}, {"delay": 60_000}):
        queue.submit("renamed", **fields)
    queue.beat("shop", functions=["add"])
    words = ("health", "--redis-url", redis_url)

    text = upnext(*words, cwd=tmp_path).stdout
    told = json.loads(upnext(*words, "--json", cwd=tmp_path).stdout)

    assert "mail: 1 job waits, but no worker that is alive runs it" in text
    assert "renamed: 3 jobs wait, but" in text
    assert told["unserved"] == [
        {"function": "mail", "waiting": 1},
        {"function": "renamed", "waiting": 3},
    ]


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
    queue.claim("root")
    child, sibling = (queue.submit("leaf", parent_id=root, root_id=root) for _ in range(2))
    queue.claim("leaf")
    path = child_path(child, root, "")
    grandchild = queue.submit("leaf", parent_id=child, root_id=root, path=path)

    def states() -> list[str]:
        told = [
            upnext("status", job_id, "--json", cwd=tmp_path, UPNEXT_REDIS_URL=redis_url).stdout
            for job_id in (root, child, sibling, grandchild)
        ]
        return [json.loads(one)["status"] for one in told]

    done = upnext("cancel", child, cwd=tmp_path, UPNEXT_REDIS_URL=redis_url)
    assert f"{child} and 1 unfinished job below it: cancelled." in done.stdout
    assert states() == ["running", "cancelling", "queued", "cancelled"]

    done = upnext("cancel", root, "--no-tree", cwd=tmp_path, UPNEXT_REDIS_URL=redis_url)
    assert "its worker was told" in done.stdout
    assert states() == ["cancelling", "cancelling", "queued", "cancelled"]
    shown = upnext("status", root, cwd=tmp_path, UPNEXT_REDIS_URL=redis_url).stdout
    assert "waits for" in shown
    assert child in shown
    assert sibling in shown

    done = upnext("cancel", root, cwd=tmp_path, UPNEXT_REDIS_URL=redis_url)
    assert f"{root} and 2 unfinished jobs below it: cancelled." in done.stdout
    assert states() == ["cancelling", "cancelling", "cancelled", "cancelled"]


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


def test_pause_and_resume(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    url = ("--redis-url", redis_url)
    queue.declare("mail", "export")
    queue.submit("mail")

    assert upnext("pause", *url, cwd=tmp_path).stdout == "Nothing is paused.\n"
    done = upnext("pause", "mail", "--until", "10m", *url, cwd=tmp_path)
    assert done.stdout.startswith("mail: paused until 20")
    assert upnext("pause", "export", *url, cwd=tmp_path).stdout == "export: paused until resumed.\n"
    shown = upnext("pause", *url, cwd=tmp_path).stdout.splitlines()
    assert [line.partition(":")[0] for line in shown] == ["export", "mail"]
    assert upnext("resume", "mail", *url, cwd=tmp_path).stdout == "1 task resumed.\n"
    assert queue.claim("mail").function == "mail"

    assert "Everything: paused" in upnext("pause", "--all", *url, cwd=tmp_path).stdout
    assert upnext("resume", "--all", *url, cwd=tmp_path).stdout == "2 tasks resumed.\n"


def test_what_cannot_be_paused(queue: Queue, redis_url: str, tmp_path: Path) -> None:
    url = ("--redis-url", redis_url)
    queue.declare("mail")
    for words, said, code in (
        (("pause", "male"), "No worker ever declared male here. There are: mail.", 1),
        (("pause", "--worker", "shop"), "No worker named shop is alive", 1),
        (("pause", "--until", "10m"), "Say what to pause", 2),
        (("pause", "mail", "--until", "soon"), "neither a time from now", 2),
        (("pause", "mail", "--until", "2030-01-01T00:00"), "has no time zone", 2),
        (("resume",), "Say what to resume", 2),
    ):
        assert said in error_of(*words, *url, cwd=tmp_path, code=code)
