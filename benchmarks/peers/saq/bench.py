"""SAQ: one worker process, JSON jobs on a Redis list, results kept in the job's key."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from saq import Job
from tasks import queue

from benchmarks import sample
from benchmarks.arrivals import Caller, Outcome, Submission

POLL_INTERVAL = 0.005
"""Seconds between two looks for a result: SAQ's `apply` polls, each 0.5 s unless told otherwise
(docstring of `Queue.apply`)."""


async def put(jobs: int) -> float:
    """Enqueue from many tasks at once, as SAQ's own benchmark does; it has no bulk call."""
    numbers = iter(range(jobs))

    async def producer() -> None:
        for n in numbers:
            await queue.enqueue("noop", n=n)

    await queue.connect()
    begin = time.perf_counter()
    async with anyio.create_task_group() as producers:
        for _ in range(sample.CONCURRENCY):
            producers.start_soon(producer)
    seconds = time.perf_counter() - begin
    await queue.disconnect()
    return seconds


class Client(Caller):
    async def submit(self) -> Submission:
        return Submission(time.time_ns(), await queue.enqueue("stamp"))

    async def result(self, handle: Job) -> Outcome:
        await handle.refresh()
        while not handle.completed:
            await anyio.sleep(POLL_INTERVAL)
            await handle.refresh()
        return Outcome(handle.result, time.time_ns())

    async def call(self) -> int:
        begin = time.time_ns()
        await queue.apply("stamp", poll_interval=POLL_INTERVAL)
        return time.time_ns() - begin

    async def ping(self) -> None:
        await queue.redis.ping()


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    await queue.connect()
    try:
        # A starting worker sweeps, perhaps after it took its first job, which ends as aborted. This
        # key says that it did.
        while not await queue.redis.exists(queue.namespace("sweep")):  # noqa: ASYNC110
            await anyio.sleep(0.1)
        yield Client()
    finally:
        await queue.disconnect()


SUBJECT = sample.Subject(
    worker=[sys.executable, "-m", "saq", "tasks.settings", "--quiet"],
    enqueue=lambda jobs: anyio.run(put, jobs),
    # A job leaves this set in the transaction that stores its result.
    finished=lambda redis, jobs: jobs - redis.integer("ZCARD", "saq:default:incomplete"),
    caller=client,
)

if __name__ == "__main__":
    sample.main(SUBJECT)
