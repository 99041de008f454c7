"""Cancels a coroutine at every one of its checkpoints, one run per checkpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import anyio


class _Counted:
    """Awaits something and cancels it at the n-th time it gives way to the event loop.

    The n-th ``yield`` of a coroutine is its n-th checkpoint on either backend. With ``late`` the
    cancellation comes when that wait is over already, so that it meets the step after it.
    """

    def __init__(
        self, awaitable: Awaitable[Any], cancel: Callable[[], object], n: int, late: bool
    ) -> None:
        self.steps = 0
        self._awaitable = awaitable
        self._cancel = cancel
        self._n = n
        self._late = late

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._awaitable.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                trap = inner.send(value) if error is None else inner.throw(error)
            except StopIteration as stop:
                return stop.value
            value, error = None, None
            self.steps += 1
            if self.steps == self._n and not self._late:
                self._cancel()
            try:
                value = yield trap
            except BaseException as raised:  # handed on to the coroutine at once
                error = raised
            if self.steps == self._n and self._late:
                self._cancel()


async def cancel_everywhere(
    run: Callable[[], Awaitable[Any]], *, limit: int = 1000
) -> AsyncIterator[int]:
    """Run something again and again, cancelled at its 1st, 2nd, … checkpoint.

    Yields the number of the checkpoint after each run, for the test to look at what is left
    behind; ends after the first run that came through without being cancelled.
    """
    for late in (False, True):
        for n in range(1, limit):
            with anyio.CancelScope() as scope:
                counted = _Counted(run(), scope.cancel, n, late)
                await counted
            yield n
            if counted.steps < n:
                break
        else:
            raise AssertionError(f"more than {limit} checkpoints")


async def cancel_everywhere_natively(
    run: Callable[[], Awaitable[Any]], *, limit: int = 1000
) -> AsyncIterator[int]:
    """The same by asyncio's own means, as `asyncio.wait_for` and `asyncio.timeout` do it.

    That is one exception at one checkpoint, whatever scopes and shields are around it.
    """
    for late in (False, True):
        for n in range(1, limit):
            steps = 0

            async def counted(n: int = n, late: bool = late) -> None:
                nonlocal steps
                task = asyncio.current_task()
                assert task is not None
                running = _Counted(run(), task.cancel, n, late)
                try:
                    await running
                finally:
                    steps = running.steps

            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.create_task(counted())
            yield n
            if steps < n:
                break
        else:
            raise AssertionError(f"more than {limit} checkpoints")
