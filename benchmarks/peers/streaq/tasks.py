"""The tasks of the streaQ worker, on either backend.

Settings: https://streaq.readthedocs.io/en/latest/worker.html (concurrency, which is
also how many are prefetched; anyio_backend, anyio_kwargs),
and the docstring of `Worker.task` (silent). uvloop is our addition.
"""

from __future__ import annotations

import time

from streaq import Worker

from benchmarks import sample

OPTIONS = {"use_uvloop": True} if sample.BACKEND == "asyncio" else {}

worker = Worker(
    redis_url=sample.REDIS_URL,
    # Each waiter for a result holds a connection of its own; with the default limit they starve.
    redis_kwargs={"max_connections": 1000},
    concurrency=sample.CONCURRENCY,
    anyio_backend=sample.BACKEND,
    anyio_kwargs=OPTIONS,
)


@worker.task(silent=True)
async def noop(n: int) -> int:
    return n


@worker.task(silent=True)
async def stamp() -> int:
    return time.time_ns()
