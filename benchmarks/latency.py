"""UpNext's latency at a fixed rate of arrivals: submit -> start and submit -> result.

echo | python -m benchmarks.latency latency      one turn
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from benchmarks import sample
from benchmarks.arrivals import Caller, Outcome, Submission
from benchmarks.throughput import SUBJECT


class Client(Caller):
    """Calls through the public interface."""

    def __init__(self, task: Any, link: Any) -> None:
        self._task = task
        self._link = link

    async def submit(self) -> Submission:
        return Submission(time.time_ns(), await self._task.submit())

    async def result(self, handle: Any) -> Outcome:
        return Outcome(await handle.value(), time.time_ns())

    async def ping(self) -> None:
        await self._link.execute("PING")


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    """Open a link for PING; submits bring their own."""
    from benchmarks.noop import stamp
    from upnext.redis.link import Link
    from upnext.redis.url import Address

    link = Link(Address.parse(sample.REDIS_URL))
    try:
        yield Client(stamp, link)
    finally:
        await link.aclose()


if __name__ == "__main__":
    sample.main(replace(SUBJECT, caller=client))
