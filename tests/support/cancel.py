"""Cancels a coroutine at every one of its checkpoints, one run per checkpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import anyio


class _Counted:
    """Awaits something and cancels a scope at the n-th time it gives way to the event loop.

    The n-th ``yield`` of a coroutine is its n-th checkpoint on either backend. With ``late`` the
    cancellation comes when that wait is over already, so that it meets the step after it.
    """

    def __init__(self, awaitable: Awaitable[Any], scope: anyio.CancelScope, n: int, late: bool):
        self.steps = 0
        self._awaitable = awaitable
        self._scope = scope
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
                self._scope.cancel()
            try:
                value = yield trap
            except BaseException as raised:  # handed on to the coroutine at once
                error = raised
            if self.steps == self._n and self._late:
                self._scope.cancel()


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
                counted = _Counted(run(), scope, n, late)
                await counted
            yield n
            if counted.steps < n:
                break
        else:
            raise AssertionError(f"more than {limit} checkpoints")
