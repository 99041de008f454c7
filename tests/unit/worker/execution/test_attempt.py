"""Hooks around an attempt, on a whole worker."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.support.tree import running, until
from upnext import Context, JobStatus, Worker


def make_worker(concurrency: int = 2, **options: Any) -> Worker:
    return Worker("test", concurrency=concurrency, **options)


async def test_hooks_are_given_what_they_are_promised() -> None:
    worker = make_worker()
    said: list[Any] = []

    async def on_start(context: Context) -> None:
        said.append(("start", context.attempt))

    async def on_success(context: Context, result: list[int]) -> None:
        said.append(("success", result))

    async def on_retry(context: Context, error: Exception) -> None:
        said.append(("retry", str(error)))

    async def on_failure(context: Context, error: Exception) -> None:
        said.append(("failure", str(error)))

    async def on_complete() -> None:
        said.append("complete")

    @worker.task(
        retries=1,
        retry_delay=1,
        on_start=on_start,
        on_success=on_success,
        on_retry=on_retry,
        on_failure=on_failure,
        on_complete=on_complete,
    )
    async def work(good: bool) -> list[int]:
        if not good:
            raise ValueError("bad")
        return [1]

    async with running(worker) as tree:
        await work.wait(True)
        await until(lambda: "complete" in said)
        assert said == [("start", 1), ("success", [1]), "complete"]
        said.clear()
        await tree.end_of(await work.submit(False))
        await until(lambda: "complete" in said)
        assert said == [
            ("start", 1),
            ("retry", "bad"),
            ("start", 2),
            ("failure", "bad"),
            "complete",
        ]
        await tree.stop()


@pytest.mark.parametrize("error", [ValueError(), SystemExit()])
async def test_an_error_of_a_hook_is_not_the_jobs(error: BaseException) -> None:
    worker = make_worker()

    async def bad_hook() -> None:
        raise error

    @worker.task(on_start=bad_hook, on_success=bad_hook, on_complete=bad_hook)
    async def work() -> int:
        return 1

    async with running(worker) as tree:
        assert (await work.wait()).value == 1
        await tree.stop()


async def test_a_job_is_cancelled_while_its_first_hook_runs() -> None:
    worker = make_worker()
    started, proceed, runs = anyio.Event(), anyio.Event(), []

    async def hook() -> None:
        started.set()
        await proceed.wait()

    @worker.task(on_start=hook)
    async def work() -> None:
        runs.append(1)

    async with running(worker) as tree:
        job = await work.submit()
        await started.wait()
        await job.cancel("no")
        proceed.set()
        assert (await tree.end_of(job)).status is JobStatus.CANCELLED
        assert runs == []
        await tree.stop()
