"""dramatiq: one worker process with threads, jobs on Redis lists, results in their own database."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from dramatiq import Message
from tasks import broker, noop, stamp

from benchmarks import sample
from benchmarks.arrivals import Caller, Outcome, Submission


def put(jobs: int) -> float:
    """Enqueue one after the other; there is no bulk call."""
    broker.client.ping()
    begin = time.perf_counter()
    for n in range(jobs):
        noop.send(n=n)
    return time.perf_counter() - begin


def submit() -> Submission:
    return Submission(time.time_ns(), stamp.send())


def result(message: Message[int]) -> Outcome:
    # Blocks in Redis, no polling: docstring of `RedisBackend.get_result`.
    started = message.get_result(block=True)
    return Outcome(started, time.time_ns())


class Client(Caller):
    """Blocking calls in threads; the clocks are read inside them."""

    async def submit(self) -> Submission:
        return await to_thread.run_sync(submit)

    async def result(self, handle: Message[int]) -> Outcome:
        return await to_thread.run_sync(result, handle)

    async def ping(self) -> None:
        await to_thread.run_sync(broker.client.ping)


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    yield Client()


WORKER = ["-m", "dramatiq", "tasks", "--processes", "1", "--threads", str(sample.CONCURRENCY)]

SUBJECT = sample.Subject(
    worker=[sys.executable, *WORKER],
    enqueue=put,
    finished=lambda redis, jobs: redis.integer("DBSIZE"),
    caller=client,
    results_db=1,
    # How far a worker reads ahead; named in the comments of dramatiq/worker.py, 2.2.1.
    env={"dramatiq_queue_prefetch": "1000"},
)

if __name__ == "__main__":
    sample.main(SUBJECT)
