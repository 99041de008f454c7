"""Claimed jobs on their way to an executor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio
from attrs import frozen

from upnext.model.job import Job
from upnext.redis.loops import Bell, primitives
from upnext.worker.execution.slots import Slots


@frozen
class InboxStatistics:
    """A snapshot."""

    queued: int
    reserved: int
    idle_executors: int
    closed: bool


class Inbox:
    """Owns the jobs that are claimed and not started. Touched from the event loop only.

    Bounded by what can be started at once plus `prefetch`: the fetcher reserves room before
    it claims, so no claimed job is ever without a place.
    """

    def __init__(self, slots: Slots, prefetch: int) -> None:
        self._slots = slots
        self._prefetch = prefetch
        self._jobs: deque[Job] = deque()
        self._reserved = 0
        self._idle: deque[Bell] = deque()
        self._closed = False
        self._room = anyio.Event()
        self._on_idle: Callable[[], None] | None = None
        self._on_taken: Callable[[], None] | None = None
        self._wanted = 0  # so much room is waited for; 0: nobody waits

    @property
    def free(self) -> int:
        """Jobs that may be claimed now."""
        return self._slots.free + self._prefetch - len(self._jobs) - self._reserved

    @property
    def idle(self) -> int:
        """Jobs that would start at once if they were claimed now."""
        return self._slots.free - len(self._jobs) - self._reserved

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as a job would start at once."""
        self._on_idle = callback

    @property
    def worthwhile(self) -> int:
        """Room that is worth a claim: any while somebody is idle, else half of the prefetch."""
        return max(1, self._prefetch // 2) if self._jobs else 1

    @property
    def full(self) -> bool:
        """Whether no room is left, not even room that a claim under way may leave over."""
        return self._closed or self.free + self._reserved < self.worthwhile

    @property
    def ended(self) -> bool:
        """Whether no job will ever come again: closed, empty, and no job runs that may want one."""
        return self._closed and not (self._jobs or self._reserved) and self._slots.at_rest

    async def room(self, least: int = 1) -> None:
        """Return when at least so many jobs may be claimed."""
        while self.free < least:
            if not self._wanted:
                self._room = anyio.Event()
            self._wanted = min(self._wanted or least, least)
            await self._room.wait()

    def reserve(self, count: int) -> None:
        """Keep room for jobs about to be claimed."""
        self._reserved += count

    def deliver(self, jobs: list[Job], reserved: int) -> None:
        """Put claimed jobs in, and give up the room that was reserved for them."""
        self._reserved -= reserved
        self._jobs.extend(jobs)
        self.stir()

    def offer(self, job: Job, when_taken: Callable[[], None]) -> bool:
        """Take in a job that came unasked; False: there is no place for it.

        It has one if a claim under way leaves room over.

        Args:
            job: The job.
            when_taken: Called as soon as it was taken out of here, to be started or otherwise; at
                once, if it has to wait for a slot or has no place.
        """
        starting = self._slots.free - len(self._jobs)
        accepted = not self._closed and starting + self._prefetch > 0
        if accepted and starting > self._reserved:
            self._on_taken = when_taken
        else:
            when_taken()
        if accepted:
            self._jobs.append(job)
            self.stir()
        return accepted

    def stir(self) -> None:
        """A job or a slot came: let as many idle executors look as there is work for.

        All of them, when no job will ever come again.
        """
        if self._idle:
            turns = min(len(self._jobs), self._slots.free)
            if self._closed and self.ended:
                turns = len(self._idle)
            for _ in range(min(turns, len(self._idle))):
                self._idle.popleft().set()
        if self._on_idle is not None and self.idle > 0:
            callback, self._on_idle = self._on_idle, None
            callback()
        if self._wanted and self.free >= self._wanted:
            self._wanted = 0
            self._room.set()

    def take(self) -> Job | None:
        """The next job, together with a slot for it, if both are there."""
        if self._jobs and self._slots.take():
            job = self._jobs.popleft()
            if self._on_taken is not None:
                self._tell_taken()
            return job
        return None

    async def receive(self) -> Job:
        """The next job, together with a slot for it.

        Raises:
            anyio.EndOfStream: the inbox has ended.
        """
        while True:
            if (job := self.take()) is not None:
                return job
            if self.ended:
                raise anyio.EndOfStream
            turn = primitives().bell()
            self._idle.append(turn)
            try:
                await turn.wait()
            except BaseException:
                if turn in self._idle:
                    self._idle.remove(turn)
                else:
                    self.stir()  # the turn was ours: pass it on
                raise

    def withdraw(self, job_id: str, delivery: int) -> Job | None:
        """Take one waiting job out again, if it is there."""
        for job in self._jobs:
            if job.id == job_id and job.delivery == delivery:
                self._jobs.remove(job)
                self._tell_taken()
                self.stir()
                return job
        return None

    def withdraw_all(self, function: str) -> list[Job]:
        """Take all waiting jobs of a function out again."""
        taken = [job for job in self._jobs if job.function == function]
        if taken:
            self._jobs = deque(job for job in self._jobs if job.function != function)
            self._tell_taken()
            self.stir()
        return taken

    def close(self) -> None:
        """No more jobs come but those that running jobs wait for: executors finish what there is.

        They end with the last job that runs.
        """
        self._closed = True
        self.stir()

    def empty(self) -> list[Job]:
        """Take out everything that was never started."""
        jobs = list(self._jobs)
        self._jobs.clear()
        self._tell_taken()
        self.stir()
        return jobs

    def _tell_taken(self) -> None:
        if self._on_taken is not None:
            callback, self._on_taken = self._on_taken, None
            callback()

    def statistics(self) -> InboxStatistics:
        return InboxStatistics(len(self._jobs), self._reserved, len(self._idle), self._closed)
