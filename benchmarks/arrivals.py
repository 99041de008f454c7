"""Open-loop arrivals: calls start on a fixed schedule, whether or not earlier ones are back."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import anyio

UP_LIMIT = 60.0
"""Seconds a worker may take until it has run its first job."""

CALL_LIMIT = 10.0
"""Seconds after which a call counts as unanswered, and as having taken that long."""

READ_AT_ONCE = 20
"""Results read at the same time once all the starts are over."""


class Submission(NamedTuple):
    """A job under way: wall-clock nanoseconds before the submit, and what awaits its result."""

    at: int
    handle: Any


class Outcome(NamedTuple):
    """Wall-clock nanoseconds at which the job started and at which its result was in hand.

    Both processes read the same machine's clock.
    """

    started: int
    returned: int


class Caller(ABC):
    """An open client of one queue."""

    @abstractmethod
    async def submit(self) -> Submission:
        """Submit the `stamp` task, which returns the time at which it started."""

    @abstractmethod
    async def result(self, handle: Any) -> Outcome:
        """Wait for the result the way the library is meant to be waited on."""

    @abstractmethod
    async def ping(self) -> None:
        """Send PING on a connection of the same kind and wait for the answer."""

    async def call(self) -> int:
        """Submit, wait for the result, and return the nanoseconds that took."""
        submission = await self.submit()
        outcome = await self.result(submission.handle)
        return outcome.returned - submission.at


OpenCaller = Callable[[], AbstractAsyncContextManager[Caller]]


def percentiles(nanoseconds: Sequence[int]) -> dict[str, float]:
    """Return p50, p99 and the maximum in milliseconds (nearest rank)."""
    ordered = sorted(nanoseconds)

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6

    return {"p50": rank(0.5), "p99": rank(0.99), "max": ordered[-1] / 1e6}


async def arrive(rate: float, seconds: float, visit: Callable[[], Awaitable[None]]) -> list[int]:
    """Start `visit` at each arrival and return how late each one was started, in nanoseconds.

    Args:
        rate: Arrivals per second, evenly spaced.
        seconds: How long arrivals go on.
        visit: Runs in a task of its own.
    """
    lateness: list[int] = []
    async with anyio.create_task_group() as visitors:
        begin = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            await anyio.sleep(max(0.0, due - time.perf_counter()))
            lateness.append(int((time.perf_counter() - due) * 1e9))
            visitors.start_soon(visit)
    return lateness


async def measure(open_caller: OpenCaller, rate: float, seconds: float) -> dict[str, object]:
    """Measure PING, submit -> start and submit -> result at the given rate, one after the other.

    Results are not waited for while starts are measured, so that a library whose waiting is dear
    does not pay for it twice.
    """
    pings: list[int] = []
    starts: list[int] = []
    results: list[int] = []
    unanswered: list[bool] = []
    submissions: list[Submission] = []

    async with open_caller() as caller:

        async def ping() -> None:
            begin = time.perf_counter_ns()
            await caller.ping()
            pings.append(time.perf_counter_ns() - begin)

        async def submit() -> None:
            submissions.append(await caller.submit())

        async def read(submission: Submission) -> None:
            outcome = await caller.result(submission.handle)
            starts.append(outcome.started - submission.at)

        async def call() -> None:
            took = int(CALL_LIMIT * 1e9)
            with anyio.move_on_after(CALL_LIMIT) as scope:
                took = await caller.call()
            results.append(took)
            unanswered.append(scope.cancelled_caught)

        with anyio.fail_after(UP_LIMIT):
            await call()  # the worker is up
        await arrive(rate, 1, call)  # and warm
        results.clear()
        unanswered.clear()

        await arrive(rate, seconds, ping)
        lateness = await arrive(rate, seconds, submit)
        for begin in range(0, len(submissions), READ_AT_ONCE):
            async with anyio.create_task_group() as readers:
                for submission in submissions[begin : begin + READ_AT_ONCE]:
                    readers.start_soon(read, submission)
        lateness += await arrive(rate, seconds, call)

    return {
        "rate": rate,
        "ping_ms": percentiles(pings),
        "start_ms": percentiles(starts),
        "result_ms": percentiles(results),
        "unanswered": sum(unanswered),
        "arrival_lateness_ms": percentiles(lateness),
    }
