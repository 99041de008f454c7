"""Jobs that kill their worker, dead letters, and `upnext dead`, on real processes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import upnext as sdk
from tests.support import service
from tests.support.command import error_of, upnext
from tests.support.jobs import Queue
from tests.support.workers import Ledger, WorkerProcess
from upnext.client.dead_letters import DeadLetters
from upnext.model.outcome import Ending

Start = Callable[..., WorkerProcess]


@pytest.fixture
def letters(server_url: str) -> DeadLetters:
    return DeadLetters(server_url)


async def test_a_job_that_kills_its_process_is_dead_lettered_while_others_run(
    start_worker: Start, ledger: Ledger, letters: DeadLetters
) -> None:
    """Jobs of the same task beside it, sixteen at a time, come through."""
    good = await sdk.submit_many(service.poison, [(n,) for n in range(100)])
    poison = await service.poison.submit(-1)
    good += await sdk.submit_many(service.poison, [(n,) for n in range(100, 200)])
    restarts = 0
    error: object = None

    async def keep_running() -> None:
        """What a service manager does."""
        nonlocal restarts
        while True:
            worker = start_worker("--only", "service", ready=False)
            try:
                await anyio.to_thread.run_sync(worker.process.wait, abandon_on_cancel=True)
            finally:
                worker.close()
            restarts += 1

    with anyio.fail_after(90):
        async with anyio.create_task_group() as managers:
            managers.start_soon(keep_running)
            managers.start_soon(keep_running)
            [error] = await sdk.gather(poison.value(), return_exceptions=True)
            assert await sdk.gather(*good) == list(range(200))
            managers.cancel_scope.cancel("all jobs have ended")
    assert isinstance(error, sdk.TaskExecutionError)
    assert error.error == "upnext.WorkerLost: killed 3 workers"
    assert error.task_result.failure_reason is sdk.FailureReason.WORKER_LOST
    assert len(ledger.starts()[poison.job_id]) == 3, "delivered three times, and no more"
    assert restarts >= 3
    [letter] = (await letters.list(reason=sdk.FailureReason.WORKER_LOST)).letters
    assert (letter.job_id, letter.lost_workers) == (poison.job_id, 3)


async def test_a_job_that_kills_its_worker_process_fails_alone(
    start_worker: Start, ledger: Ledger, letters: DeadLetters
) -> None:
    """The worker survives: it is a failure, spends an attempt, and is kept if asked for."""
    worker = start_worker("--only", "processes")
    with anyio.fail_after(60):
        with pytest.raises(sdk.TaskExecutionError) as failed:
            await service.die_and_be_kept.wait()
        assert str(failed.value.error_type).endswith("WorkerProcessDiedError")
        assert failed.value.task_result.attempts == 2
        assert await (await service.spin.submit(0.01)).value()
    assert worker.process.poll() is None
    assert Counter(event for event, *_ in ledger.entries()) == {"start": 3}
    [letter] = (await letters.list()).letters
    assert (letter.function, letter.attempts, letter.lost_workers) == ("die_and_be_kept", 2, 0)


async def test_a_replayed_job_runs(start_worker: Start, letters: DeadLetters) -> None:
    start_worker("--only", "processes")
    with anyio.fail_after(60):
        with pytest.raises(sdk.TaskExecutionError) as failed:
            await service.die_and_be_kept.wait()
        future = await letters.replay(failed.value.job_id)
        with pytest.raises(sdk.TaskExecutionError):
            await future.result()
    [letter] = (await letters.list()).letters
    assert letter.job_id == future.job_id
    assert json.loads(letter.record.source)["job_id"] == failed.value.job_id


@pytest.fixture
def dead(queue: Queue) -> Callable[..., str]:
    """Make a dead letter, and give its id."""

    def bury(function: str, message: str = "no\x1b[2J room", **fields: Any) -> str:
        queue.declare(function)
        job_id = queue.submit(function, **fields)
        error = {"type": "app.Full", "message": message, "traceback": "", "reason": "exception"}
        queue.settle(
            queue.claim(function), Ending.FAILED, error=json.dumps(error).encode(), dead_letter=True
        )
        return job_id

    return bury


def test_the_command_line_lists_and_shows(
    dead: Callable[..., str], redis_url: str, tmp_path: Path
) -> None:
    env: dict[str, Any] = {"cwd": tmp_path, "UPNEXT_REDIS_URL": redis_url}
    assert upnext("dead", "list", **env).stdout == "no dead letters\n"
    first = dead("add", arguments=b'{"a":9007199254740993}')
    second = dead("mail", "timed out")
    table = upnext("dead", "list", **env).stdout
    assert first in table
    assert second in table
    assert "\x1b" not in table
    assert "dead since" in table
    assert "exception" in table
    told = json.loads(upnext("dead", "list", "add", "--json", **env).stdout)
    [letter] = told["letters"]
    assert (letter["job_id"], letter["function"], letter["attempts"]) == (first, "add", 1)
    assert letter["arguments"] == {"a": 9007199254740993}
    assert (told["cursor"], told["dropped"]) == (None, 0)
    found = json.loads(upnext("dead", "list", "--reason", "TIMED", "--json", **env).stdout)
    assert [one["job_id"] for one in found["letters"]] == [second]
    page = json.loads(upnext("dead", "list", "--limit", "1", "--json", **env).stdout)
    more = upnext("dead", "list", "--cursor", page["cursor"], "--since", "1h", **env).stdout
    assert second in more
    assert first not in more
    assert upnext("dead", "list", "--until", "2001-01-01", **env).stdout == "no dead letters\n"
    shown = upnext("dead", "show", first, **env).stdout
    assert "9007199254740993" in shown
    assert "app.Full" in shown
    told = json.loads(upnext("dead", "show", first, "--json", **env).stdout)
    assert told["dead_at"] in table
    assert told["dead_at"] in shown
    assert re.search(rf"dead since +{told['dead_at']}", shown)
    assert re.search(r"dead because +exception", shown)
    record = told["record"]
    assert (record["id"], record["status"]) == (first, "failed")


def test_the_command_line_replays_and_purges(
    dead: Callable[..., str], queue: Queue, redis_url: str, tmp_path: Path
) -> None:
    env: dict[str, Any] = {"cwd": tmp_path, "UPNEXT_REDIS_URL": redis_url}
    first, second, third = dead("add"), dead("add", "odd"), dead("mail")
    line = upnext("dead", "replay", first, **env).stdout
    young = queue.claim("add").id
    assert line == f"{first} is replayed as {young}.\n"
    assert upnext("dead", "replay", first, **env).stdout == line, "again, it is the same job"
    done = upnext("dead", "replay", "--all", "--function", "add", "--json", **env)
    assert json.loads(done.stdout) == {"replayed": 1, "held": 0}
    assert queue.claim("add").id != young
    assert upnext("dead", "purge", "--all", "--reason", "no match", **env).stdout == "0 deleted.\n"
    assert upnext("dead", "purge", third, **env).stdout == "1 deleted.\n"
    assert upnext("dead", "purge", third, code=1, **env).stdout == "0 deleted.\n"
    assert second not in upnext("dead", "list", **env).stdout


def test_the_command_line_says_in_one_line_what_is_no_letter(
    redis_url: str, tmp_path: Path
) -> None:
    env: dict[str, Any] = {"cwd": tmp_path, "UPNEXT_REDIS_URL": redis_url}
    job_id = f"add-{'0' * 32}"
    assert f"{job_id} is no dead letter" in error_of("dead", "replay", job_id, code=1, **env)
    assert "not a job id" in error_of("dead", "show", "add", code=2, **env)
