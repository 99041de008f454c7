"""Celery: one worker process with a pool of threads, results in their own database."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from redis import Redis
from tasks import app, noop, stamp

from benchmarks import sample
from benchmarks.arrivals import Caller, Outcome, Submission


def put(jobs: int) -> float:
    """Enqueue one after the other on one producer; there is no bulk call."""
    with app.producer_pool.acquire(block=True) as producer:
        begin = time.perf_counter()
        for n in range(jobs):
            noop.apply_async(kwargs={"n": n}, producer=producer)
        return time.perf_counter() - begin


def submit() -> Submission:
    return Submission(time.time_ns(), stamp.delay().id)


def result(job_id: str) -> Outcome:
    # Waits by publish/subscribe. A backend belongs to one thread, hence the id.
    started = app.AsyncResult(job_id).get()
    return Outcome(started, time.time_ns())


class Client(Caller):
    """Blocking calls in threads; the clocks are read inside them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def submit(self) -> Submission:
        return await to_thread.run_sync(submit)

    async def result(self, handle: str) -> Outcome:
        return await to_thread.run_sync(result, handle)

    async def ping(self) -> None:
        await to_thread.run_sync(self._redis.ping)


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    with Redis.from_url(sample.REDIS_URL) as redis:
        yield Client(redis)


# Options as `celery worker --help` lists them.
WORKER = ["-m", "celery", "-A", "tasks", "worker", "--pool", "threads", "-l", "WARNING"]
WORKER += ["--concurrency", str(sample.CONCURRENCY)]
WORKER += ["--without-gossip", "--without-mingle", "--without-heartbeat"]

SUBJECT = sample.Subject(
    worker=[sys.executable, *WORKER],
    enqueue=put,
    finished=lambda redis, jobs: redis.integer("DBSIZE"),
    caller=client,
    results_db=1,
)

if __name__ == "__main__":
    sample.main(SUBJECT)
