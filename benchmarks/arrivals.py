"""Open-loop arrivals: calls start on a fixed schedule, whether or not earlier ones are back."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import anyio

UP_LIMIT = 60.0
"""Seconds a worker may take until it has run its first job."""

CALL_LIMIT = 10.0
"""Seconds after which a call counts as unanswered, and as having taken that long."""

WARM = 0.25
"""Seconds of unrecorded calls at the beginning of a turn: others had the machine before."""

PAUSE = 0.1
"""Seconds after the last submit before the first result is asked for."""

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


class Turn(NamedTuple):
    """What was measured in one go, in nanoseconds each."""

    ping: list[int]
    start: list[int]
    """From just before the submit to the first line of the task."""
    result: list[int]
    """From just before the submit until the result is in hand."""
    lateness: list[int]
    """How late each submit of these was made."""
    unanswered: int


OpenCaller = Callable[[], AbstractAsyncContextManager[Caller]]


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


async def one_turn(caller: Caller, rate: float, seconds: float) -> Turn:
    """Measure PING, submit -> start and submit -> result at the given rate, one after the other.

    Results are not waited for while starts are measured, so that a library whose waiting is dear
    does not pay for it twice.
    """
    turn = Turn([], [], [], [], 0)
    submissions: list[Submission] = []

    async def ping() -> None:
        begin = time.perf_counter_ns()
        await caller.ping()
        turn.ping.append(time.perf_counter_ns() - begin)

    async def submit() -> None:
        submissions.append(await caller.submit())

    async def read(submission: Submission) -> None:
        outcome = await caller.result(submission.handle)
        turn.start.append(outcome.started - submission.at)

    unanswered = 0

    async def call() -> None:
        nonlocal unanswered
        took = int(CALL_LIMIT * 1e9)
        with anyio.move_on_after(CALL_LIMIT) as scope:
            took = await caller.call()
        turn.result.append(took)
        unanswered += scope.cancelled_caught

    await arrive(rate, WARM, caller.call)
    await arrive(rate, seconds, ping)
    turn.lateness.extend(await arrive(rate, seconds, submit))
    await anyio.sleep(PAUSE)  # the last one has started, too
    for begin in range(0, len(submissions), READ_AT_ONCE):
        async with anyio.create_task_group() as readers:
            for submission in submissions[begin : begin + READ_AT_ONCE]:
                readers.start_soon(read, submission)
    turn.lateness.extend(await arrive(rate, seconds, call))
    return turn._replace(unanswered=unanswered)


async def take_turns(
    open_caller: OpenCaller,
    rate: float,
    seconds: float,
    called: Callable[[], Awaitable[bool]],
    told: Callable[[Turn], None],
) -> None:
    """Measure as often as it is called, on a worker that is up and warm.

    Args:
        open_caller: Opens a client.
        rate: Arrivals per second.
        seconds: How long each of the three measurements of a turn takes.
        called: Waits until it is this one's turn; False: there are no more.
        told: Given what was measured.
    """
    async with open_caller() as caller:
        with anyio.fail_after(UP_LIMIT):
            await caller.call()  # the worker is up
        await arrive(rate, 1, caller.call)  # and warm
        while await called():
            told(await one_turn(caller, rate, seconds))
