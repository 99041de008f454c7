"""streaQ: one worker process on asyncio or Trio, jobs on a stream, results in keys."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from streaq.task import Task
from tasks import OPTIONS, noop, stamp, worker

from benchmarks import sample
from benchmarks.arrivals import Caller, Outcome, Submission

BULK = 500


async def put(jobs: int) -> float:
    """Enqueue through the pipeline of `Worker.enqueue_many`."""
    async with worker:
        begin = time.perf_counter()
        for start in range(0, jobs, BULK):
            numbers = range(start, min(start + BULK, jobs))
            await worker.enqueue_many([noop.enqueue(n=n) for n in numbers])
        return time.perf_counter() - begin


class Client(Caller):
    async def submit(self) -> Submission:
        return Submission(time.time_ns(), await stamp.enqueue())

    async def result(self, handle: Task[[], int]) -> Outcome:
        result = await handle.result()
        return Outcome(result.result, time.time_ns())

    async def ping(self) -> None:
        await worker.redis.ping()


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    async with worker:
        yield Client()


SUBJECT = sample.Subject(
    worker=[sys.executable, "-m", "streaq", "run", "tasks:worker"],
    enqueue=lambda jobs: anyio.run(put, jobs, backend=sample.BACKEND, backend_options=OPTIONS),
    # A job joins this set in the transaction that stores its result.
    finished=lambda redis, jobs: redis.integer("ZCARD", "streaq:default:index:results"),
    caller=client,
)

if __name__ == "__main__":
    sample.main(SUBJECT)
