"""What goes on outside an event loop, for which virtual time must not jump."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

import anyio
from attrs import define

from upnext.tasks.context import Context, Lender
from upnext.tasks.definition import TaskDefinition


class Outside:
    """Owns the count of what works for one event loop outside of it.

    Threads and processes that a limiter counts are seen by themselves: those of AnyIO's default
    limiter, and those of the workers, which run sync jobs and hooks.

    Args:
        threads: Counts those of the default limiter.

    Attributes:
        held: Calls in executors, and blocks that ask for real time.
        limiters: Those of the workers.
        excused: Sync jobs that wait for the event loop themselves.
    """

    def __init__(self, threads: Callable[[], int] = lambda: 0) -> None:
        self.held = 0
        self.limiters: list[anyio.CapacityLimiter] = []
        self.excused = 0
        self._threads = threads

    def works(self) -> bool:
        """Whether anything goes on. Call it inside the event loop."""
        busy = sum(limiter.borrowed_tokens for limiter in self.limiters)
        return self.held + busy + self._threads() > self.excused


@define(eq=False)
class OutsideCall:
    """Calls a sync function as a worker does; it may wait for the event loop itself."""

    call: Callable[[TaskDefinition, bytes, Context], Awaitable[bytes]]
    outside: Outside

    async def __call__(
        self, definition: TaskDefinition, arguments: bytes, context: Context
    ) -> bytes:
        if context.lender is not None:
            context.lender = _Excuse(context.lender, self.outside)
        return await self.call(definition, arguments, context)


@define(eq=False)
class _Excuse:
    """Lends a job's slot; its thread is not waited for while it waits for another job itself."""

    lender: Lender
    outside: Outside
    _waits: int = 0

    @property
    def parent(self) -> bool:
        """Whether the job submitted others in this attempt."""
        return self.lender.parent

    @parent.setter
    def parent(self, parent: bool) -> None:
        self.lender.parent = parent

    @asynccontextmanager
    async def lend(self, jobs: Collection[str] = ()) -> AsyncGenerator[None]:
        self._count(1)
        try:
            async with self.lender.lend(jobs):
                yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        before = self._waits > 0
        self._waits += change
        self.outside.excused += (self._waits > 0) - before
