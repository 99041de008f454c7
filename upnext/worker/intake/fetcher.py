"""Claims jobs whenever there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field
from redis.exceptions import RedisError

from upnext.model.job import Claimed, Job, Picked
from upnext.worker.intake.demand import Demand
from upnext.worker.intake.inbox import Inbox
from upnext.worker.log import logger
from upnext.worker.ports import ClaimPort
from upnext.worker.settlement.leases import Leases
from upnext.worker.store_clock import StoreClock

SWEEP_INTERVAL = 5.0
"""Seconds after which a worker asks unbidden, in case a wake-up was lost."""
RETRY_INTERVAL = 0.5
"""Seconds between claims that the broker refuses. Lost connections have the link's back-off."""


@define(eq=False)
class Fetcher:
    """Fills the inbox. Soft stop cancels it, also between a claim and its reply."""

    store: ClaimPort
    worker: str
    functions: list[str]
    inbox: Inbox
    demand: Demand
    leases: Leases
    clock: StoreClock
    batch_size: int
    every: float = SWEEP_INTERVAL
    """Seconds between two sweeps."""
    _unanswered: bool = field(default=False, init=False)
    """A claim was sent whose reply never came."""
    _doubtful: bool = field(default=False, init=False)
    """Jobs may have been handed over unheard."""
    _fed: list[str] = field(factory=list[str], init=False)
    """The functions of jobs that were handed over and are about to start."""
    claimed_at: float = field(factory=anyio.current_time, init=False)
    """When this worker last proved that it can claim, as far as it had room to."""
    _swept_at: float = field(factory=anyio.current_time, init=False)
    _resting: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    """Around waiting for room."""

    async def run(self) -> None:
        try:
            await self._fill()
        finally:
            self.claimed_at = inf  # there is nothing to prove any more

    async def _fill(self) -> None:
        while True:
            await self._room()
            self.demand.ring()
            try:
                if self.unknown:
                    self._accept(await self.recover(self.functions), 0)
                elif anyio.current_time() >= self._swept_at + self.every:
                    await self._sweep()
                elif self.demand.dry or (self.demand.held and self.inbox.idle <= 0):
                    await self._rest()
                    await checkpoint()  # what is over already is settled by the same write
                else:
                    await self._fetch()
            except RedisError as error:
                logger.warning("cannot claim jobs: %s", error)
                self.demand.note_all()
                await anyio.sleep(RETRY_INTERVAL)

    @property
    def unknown(self) -> bool:
        """Whether the store may know of jobs of ours that we do not know of."""
        return self._unanswered or self._doubtful

    def take(self, job: Job) -> bool:
        """A job came unasked, handed over by whoever submitted it; False: no room for it."""
        self.clock.start(job.claimed_at)  # the answer to the first claim may not be here yet
        self.leases.add([job])
        self._fed.append(job.function)
        return self.inbox.offer(job, self._ask_again)  # it starts first

    def _ask_again(self) -> None:
        """The store holds us for sated until we do."""
        fed, self._fed = self._fed, []
        for function in fed:
            self.demand.note(function)

    def doubt(self) -> None:
        """Messages may be missing: news of work, and jobs that were handed over."""
        self._doubtful = True
        self.demand.note_all()
        self._resting.cancel()

    async def recover(self, functions: list[str]) -> Claimed:
        """Ask the store what this worker owns without knowing."""
        doubtful, self._doubtful = self._doubtful, False
        try:
            claimed = await self.store.recover(self.worker, functions, self.leases.ids())
        except BaseException:
            self._doubtful = self._doubtful or doubtful
            raise
        self._unanswered = False
        # What was handed over while we asked is held by now.
        jobs = self.leases.strange(claimed.jobs)
        if jobs:
            logger.info("took up %d jobs that were given to this worker unheard", len(jobs))
        return Claimed(jobs=jobs, now=claimed.now)

    async def pick(self, function: str, ids: Sequence[str]) -> Picked:
        """Claim certain jobs, as many as start at once; the inbox may be closed.

        Raises:
            redis.exceptions.RedisError: the queue cannot be reached; asking again is safe.
        """
        room, unanswered = self.inbox.idle, self._unanswered
        self.inbox.reserve(room)
        self._unanswered = True
        try:
            picked = await self.store.pick(self.worker, function, room, ids)
        except BaseException:
            self.inbox.deliver([], room)
            raise
        self._unanswered = unanswered
        jobs = self.leases.strange(picked.jobs)
        self._accept(Claimed(jobs=jobs, now=picked.now), room)
        return picked

    async def _room(self) -> None:
        if self.inbox.free < self.inbox.worthwhile and not self.unknown:
            self.claimed_at = inf
            with anyio.CancelScope() as self._resting:
                await self.inbox.room(self.inbox.worthwhile)
            self.claimed_at = anyio.current_time()

    async def _rest(self) -> None:
        """Until there is something to ask for, and may be a slot it needs."""
        with anyio.move_on_at(min(self._swept_at + self.every, self.demand.next_alarm)):
            if self.demand.dry:
                await self.demand.changed()
            else:
                self.inbox.when_idle(self.demand.stir)
                await self.demand.next_change()

    async def _sweep(self) -> None:
        """Look at some functions unbidden.

        However busy: while one function never runs dry, the store may forget that this worker is
        hungry for the others.
        """
        self._swept_at = anyio.current_time()
        self._accept(await self.recover(self.demand.note_some()), 0)

    async def _fetch(self) -> None:
        free, idle = self.inbox.free, self.inbox.idle
        wants = self.demand.plan(min(free, self.batch_size), min(idle, self.batch_size))
        room = sum(count for _, count in wants)
        self.inbox.reserve(room)
        self._unanswered = True
        try:
            # Executors that have enough to do may keep the event loop for long: what they will want
            # after that is asked for before.
            claimed = await self.store.claim(self.worker, wants, prompt=idle <= 0)
        except BaseException:
            self.inbox.deliver([], room)
            raise
        self._unanswered, self.claimed_at = False, anyio.current_time()
        self.demand.filled(claimed.more)
        self.demand.set_alarms(wants, claimed.later, self.claimed_at)
        self._accept(claimed, room)

    def _accept(self, claimed: Claimed, reserved: int) -> None:
        if claimed.now:  # else the store was not asked: there was no permit
            self.clock.set(claimed.now)
        self.leases.add(claimed.jobs)
        self.inbox.deliver(claimed.jobs, reserved)
