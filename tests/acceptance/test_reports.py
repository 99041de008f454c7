"""What jobs of a real worker process say, in every executor and on every loop."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.acceptance.test_worker_process import LOOPS, Start
from tests.support import service
from tests.support.command import upnext
from upnext import TaskHandle

CHUNKS = 700
TASKS = [service.talk_in_loop, service.talk_in_thread, service.talk_in_process]


@LOOPS
async def test_jobs_are_heard_from_wherever_they_run(start_worker: Start, loop: list[str]) -> None:
    start_worker(*loop)
    with anyio.fail_after(50):
        for task in TASKS:
            future = await task.submit(CHUNKS, "")
            assert [chunk async for chunk in future.stream()] == list(range(CHUNKS))
            assert await future.value() == task.name
            [line] = [line async for line in future.logs()]
            assert (line.level, line.logger, line.message) == ("INFO", "service", "talked")
            [progress] = [progress async for progress in future.progress()]
            assert (progress.fraction, progress.message) == (0.251, "a quarter")


@pytest.mark.parametrize("task", [service.talk_in_thread, service.talk_in_process])
def test_status_shows_how_far_a_job_is(
    start_worker: Start, redis_url: str, tmp_path: Path, task: TaskHandle[..., Any]
) -> None:
    def status(*options: str) -> str:
        return upnext("status", job_id, *options, "--redis-url", redis_url, cwd=tmp_path).stdout

    def until(found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        give_up_at = time.monotonic() + 40
        while not found(told := json.loads(status("--json"))):
            assert time.monotonic() < give_up_at, told
        return told

    start_worker()
    hold = tmp_path / "hold"
    hold.touch()
    future = task.submit_sync(3, str(hold))
    job_id = future.job_id
    told = until(lambda told: told["checkpoint"] is not None)
    assert (told["status"], told["progress"]) == ("running", 0.25)
    assert (told["progress_message"], told["checkpoint"]) == ("a quarter", {"chunks": 3})
    assert told["claimed_at"] <= told["started_at"] <= told["checkpoint_at"]
    shown = status()
    assert "25 %, a quarter" in shown
    assert told["started_at"] in shown
    assert '"chunks": 3' in shown

    hold.unlink()
    assert future.value_sync() == task.name
    assert json.loads(status("--json"))["progress"] == 0.251
    assert "25.1 %, a quarter" in status()
