"""Claims jobs whenever there is room for them."""

from __future__ import annotations

import logging
from math import inf

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.model.job import Claimed
from upnext.worker.intake.demand import Demand
from upnext.worker.intake.inbox import Inbox
from upnext.worker.ports import ClaimPort
from upnext.worker.settlement.leases import Leases
from upnext.worker.store_clock import StoreClock

logger = logging.getLogger("upnext.worker")

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
    unknown: bool = field(default=False, init=False)
    """A claim was sent whose reply never came: the store knows what it gave us."""
    claimed_at: float = field(factory=anyio.current_time, init=False)
    """When this worker last proved that it can claim, as far as it had room to."""
    _swept_at: float = field(factory=anyio.current_time, init=False)

    async def run(self) -> None:
        try:
            await self._fill()
        finally:
            self.claimed_at = inf  # there is nothing to prove any more

    async def _fill(self) -> None:
        while True:
            await self._room()
            if anyio.current_time() >= self._swept_at + self.every:
                # However busy: while one function never runs dry, the store may forget that
                # this worker is hungry for the others.
                self._swept_at = anyio.current_time()
                self.demand.note_some()
            if self.demand.dry:
                with anyio.move_on_at(self._swept_at + self.every):
                    await self.demand.changed()
                continue
            try:
                await self._fetch()
            except RedisError as error:
                logger.warning("cannot claim jobs: %s", error)
                self.demand.note_all()
                await anyio.sleep(RETRY_INTERVAL)

    async def recover(self) -> Claimed:
        """Ask the store what this worker owns without knowing."""
        claimed = await self.store.recover(self.worker, self.functions, self.leases.ids())
        self.unknown = False
        if claimed.jobs:
            logger.info("took up %d jobs whose claim was cut off", len(claimed.jobs))
        return claimed

    async def _room(self) -> None:
        if self.inbox.free < self.inbox.worthwhile:
            self.claimed_at = inf
            await self.inbox.room(self.inbox.worthwhile)
            self.claimed_at = anyio.current_time()

    async def _fetch(self) -> None:
        if self.unknown:
            self._accept(await self.recover(), 0)
            return  # the inbox may be full now
        wants = self.demand.plan(min(self.inbox.free, self.batch_size))
        room = sum(count for _, count in wants)
        self.inbox.reserve(room)
        self.unknown = True
        try:
            claimed = await self.store.claim(self.worker, wants)
        except BaseException:
            self.inbox.deliver([], room)
            raise
        self.unknown, self.claimed_at = False, anyio.current_time()
        self.demand.filled(claimed.more)
        self._accept(claimed, room)

    def _accept(self, claimed: Claimed, reserved: int) -> None:
        self.clock.set(claimed.now)
        self.leases.add(claimed.jobs)
        self.inbox.deliver(claimed.jobs, reserved)
