"""Requeues the jobs of workers that died."""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import inf

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.worker.log import logger
from upnext.worker.ports import RescuePort


@define(eq=False)
class Rescuer:
    """Looks for leases that ran out, about every renewal period.

    A rescuer that was cut off itself cannot tell a dead worker from one that was cut off with
    it, or a dead worker from a broker that stood still or whose clock was set forward. So it
    holds back for one period at its start and after any sign of that: the living renew first.
    """

    store: RescuePort
    worker: str
    functions: list[str]
    lease: int
    """Milliseconds."""
    renewal_period: float
    """Seconds between two renewals of a living worker."""
    most: Mapping[str, int] = field(factory=dict[str, int])
    """How often a job may be lost, of the functions that say so themselves."""
    _ahead: float = field(default=inf, init=False)
    """Seconds by which the store's clock was ahead of the event loop's."""

    async def run(self) -> None:
        held_back = True
        while True:
            # Jitter keeps the rescuers of many workers from coming all at once.
            await anyio.sleep(self.renewal_period * random.uniform(1.0, 1.5))
            try:
                held_back = await self._round(held_back)
            except RedisError as error:
                logger.warning("cannot look for lost jobs: %s", error)
                held_back = True

    async def _round(self, held_back: bool) -> bool:
        """Look once, unless it was told to hold back; whether to hold back the next time."""
        asked = anyio.current_time()
        now = await self.store.now()
        slow = anyio.current_time() - asked > self.renewal_period
        ahead, self._ahead = self._ahead, now / 1000 - asked
        # By so much a lease looks older than it is. Up to here none runs out by that.
        jumped = self._ahead - ahead > self.renewal_period / 2
        if held_back or slow or jumped:
            return slow or jumped
        rescued = await self.store.rescue(self.worker, self.functions, self.lease, now, self.most)
        for job_id in rescued.requeued:
            logger.warning("job %s was lost with its worker and is queued again", job_id)
        for job_id in rescued.buried:
            logger.error("job %s was lost with its worker too often: dead letter", job_id)
        return rescued.held_back
