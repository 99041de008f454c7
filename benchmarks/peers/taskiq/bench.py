"""taskiq with taskiq-redis: one worker process, jobs on a stream, results in their own database."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from redis.asyncio import Redis
from taskiq import AsyncTaskiqTask
from tasks import broker, noop, stamp

from benchmarks import sample
from benchmarks.arrivals import Caller, Outcome, Submission

CHECK_INTERVAL = 0.005
"""Seconds between two looks for a result: taskiq polls, each 0.2 s unless told otherwise
(docstring of `AsyncTaskiqTask.wait_result`)."""


async def put(jobs: int) -> float:
    """Enqueue from many tasks at once; there is no bulk call."""
    numbers = iter(range(jobs))

    async def producer() -> None:
        for n in numbers:
            await noop.kiq(n=n)

    await broker.startup()
    begin = time.perf_counter()
    async with anyio.create_task_group() as producers:
        for _ in range(sample.CONCURRENCY):
            producers.start_soon(producer)
    seconds = time.perf_counter() - begin
    await broker.shutdown()
    return seconds


class Client(Caller):
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def submit(self) -> Submission:
        return Submission(time.time_ns(), await stamp.kiq())

    async def result(self, handle: AsyncTaskiqTask[int]) -> Outcome:
        result = await handle.wait_result(check_interval=CHECK_INTERVAL)
        return Outcome(result.return_value, time.time_ns())

    async def ping(self) -> None:
        await self._redis.ping()


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    await broker.startup()
    try:
        async with Redis.from_url(sample.REDIS_URL) as redis:
            yield Client(redis)
    finally:
        await broker.shutdown()


# https://taskiq-python.github.io/guide/cli.html: one process, as many tasks at once as everybody,
# a prefetch of a batch, no parsing of parameters with pydantic, no log line per job.
WORKER = ["-m", "taskiq", "worker", "tasks:broker", "--workers", "1", "--no-parse"]
WORKER += ["--max-async-tasks", str(sample.CONCURRENCY), "--max-prefetch", "100"]
WORKER += ["--log-level", "WARNING"]

SUBJECT = sample.Subject(
    worker=[sys.executable, *WORKER],
    enqueue=lambda jobs: anyio.run(put, jobs, backend_options={"use_uvloop": True}),
    finished=lambda redis, jobs: redis.integer("DBSIZE"),
    caller=client,
    results_db=1,
)

if __name__ == "__main__":
    sample.main(SUBJECT)
