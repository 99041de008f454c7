"""The running-job slots of one worker, and their lending.

`concurrency` counts jobs that run. A job that waits for another job's result lends its slot
while it waits, so a tree of jobs deeper than the concurrency cannot deadlock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
from attrs import define, field, frozen

from upnext.worker.execution.awaited import Awaited
from upnext.worker.log import logger


@frozen
class SlotStatistics:
    """A snapshot."""

    concurrency: int
    free: int
    lent: int
    returning: int


@define(eq=False)
class _Return:
    """A lender that wants its slot back."""

    granted: anyio.Event = field(factory=anyio.Event)


class Slots:
    """Owns the count of free slots. Single-threaded: touched from the event loop only.

    Attributes:
        concurrency: How many there are.
        awaited: What the jobs that have them wait for.
    """

    def __init__(self, concurrency: int, max_waiting: int) -> None:
        self.concurrency = concurrency
        self.awaited = Awaited()
        self._max_waiting = max_waiting
        self._free = concurrency
        self._lent = 0
        self._returning: deque[_Return] = deque()  # served before any new job
        self._on_free: Callable[[], None] = lambda: None
        self._on_lend: Callable[[int], None] = lambda lent: None

    def connect(self, on_free: Callable[[], None], on_lend: Callable[[int], None]) -> None:
        """Who is told that a slot came free, and that `n` are lent now."""
        self._on_free = on_free
        self._on_lend = on_lend

    @property
    def free(self) -> int:
        """Slots that a new job may take now; below 0 when some are owed."""
        return self._free

    @property
    def at_rest(self) -> bool:
        """Whether no job has a slot, or has lent one."""
        return self._free == self.concurrency and not self._lent

    def take(self) -> bool:
        """Take a slot for a new job; False when none is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def give(self) -> None:
        """Give a slot back: to a lender that waits for it, else to new jobs; debts come first."""
        if self._free < 0:
            self._free += 1
        elif self._returning:
            self._returning.popleft().granted.set()
        else:
            self._free += 1
            self._on_free()

    def statistics(self) -> SlotStatistics:
        return SlotStatistics(self.concurrency, self._free, self._lent, len(self._returning))

    def may_lend(self) -> bool:
        """Whether fewer than `max_waiting` slots are lent."""
        return self._lent < self._max_waiting

    def lend(self) -> None:
        """The holder waits for another job: let someone else run meanwhile."""
        self._lent += 1
        self._on_lend(self._lent)
        self.give()

    async def take_back(self) -> None:
        """Have a slot again.

        Cancelled while waiting, it has one all the same: its job goes on or cleans up, whether a
        slot is free or not. Such a slot is owed, and new jobs wait until it is paid back.
        """
        try:
            if self._free > 0:
                self._free -= 1
                return
            wish = _Return()
            self._returning.append(wish)
            try:
                await wish.granted.wait()
            except BaseException:
                if not wish.granted.is_set():
                    self._returning.remove(wish)
                    self._free -= 1
                raise
        finally:
            self._lent -= 1

    def give_up(self) -> None:
        """The holder of a lent slot is over and will not take it back."""
        self._lent -= 1
        if self.at_rest:
            self._on_free()


class SlotHolder:
    """One running job's slot: lent while the job waits, given back once at its end."""

    __slots__ = ("_attended", "_held", "_name", "_over", "_returning", "_slots", "_waits", "parent")

    def __init__(self, slots: Slots, name: str) -> None:
        self._slots = slots
        self._name = name
        self._held = True
        self._returning = False
        self._over = False
        self._waits = 0
        self._attended: list[anyio.CancelScope] | None = None
        self.parent = False
        """Whether the job submitted others in this attempt."""

    @asynccontextmanager
    async def lend(self, jobs: Collection[str] = ()) -> AsyncGenerator[None]:
        """Wait inside for these jobs: the slot is somebody else's until then.

        A job may wait for many others at once, in tasks of its own. The first wait lends the
        slot and the last one takes it back: a job that took it back with its first result
        would hold it while the others still need it.
        """
        self._waits += 1
        self._slots.awaited.add(jobs)
        if self._held:
            self._lend_out()
        try:
            yield
        finally:
            self._slots.awaited.remove(jobs)
            self._waits -= 1
            if self._waits == 0 and not (self._held or self._returning or self._over):
                await self._take_back()

    @contextmanager
    def attend(self) -> Generator[anyio.CancelScope]:
        """What the event loop does for a thread of this job: over when the job is.

        A thread that is left behind may be waiting for it, and on Trio nobody else would end it.
        """
        with anyio.CancelScope() as scope:
            if self._over:
                scope.cancel("the job is over")
            attended = self._attended = self._attended or []
            attended.append(scope)
            try:
                yield scope
            finally:
                attended.remove(scope)

    def leave(self) -> None:
        """Nothing of the job will run any more, but it is not over: lend the slot for good."""
        if self._held:
            self._lend_out()

    def end(self) -> None:
        """The job is over, and whatever the event loop still does for a thread of it."""
        if self._over:
            return
        self._over = True
        for scope in self._attended or ():
            scope.cancel("the job is over")
        if self._held:
            self._held = False
            self._slots.give()
        elif not self._returning:
            self._slots.give_up()

    def _lend_out(self) -> None:
        if self._slots.may_lend():
            self._held = False
            self._slots.lend()
        else:
            logger.warning(
                "%s waits for another job and keeps its slot: max_waiting is reached", self._name
            )

    async def _take_back(self) -> None:
        self._returning = True
        try:
            await self._slots.take_back()
        finally:
            self._returning = False
            self._held = not self._over
            if self._over:
                self._slots.give()
            elif self._waits > 0:  # another task of the job began to wait meanwhile
                self._lend_out()
