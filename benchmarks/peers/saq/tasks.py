"""The tasks of the SAQ worker.

SAQ documents its settings in docstrings: `saq.worker.Worker` (concurrency) and
`saq.queue.redis.RedisQueue` (max_concurrent_ops, default 20, throttles enqueue and every read of a
job). redis-py parses with hiredis where that is installed. uvloop is our addition.
"""

from __future__ import annotations

import asyncio
import time

import uvloop
from saq import Queue

from benchmarks import sample

# SAQ makes its loop with asyncio.new_event_loop(), so a policy is how it runs on uvloop.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

queue = Queue.from_url(sample.REDIS_URL, max_concurrent_ops=sample.CONCURRENCY)


async def noop(ctx: object, *, n: int) -> int:
    return n


async def stamp(ctx: object) -> int:
    return time.time_ns()


settings = {"queue": queue, "functions": [noop, stamp], "concurrency": sample.CONCURRENCY}
