"""Writes finished attempts to the store."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf

import anyio
from attrs import define, field
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as SilentServerError

from upnext.model.outcome import Outcome, Settled
from upnext.worker.log import logger
from upnext.worker.ports import SettlePort
from upnext.worker.reporting.mailbox import Mailbox
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox
from upnext.worker.settlement.receipts import Receipts

MOST_PER_WRITE = 500
"""Outcomes in one write; the server serves nobody else while a script runs."""


@define(eq=False)
class Flusher:
    """Empties the outbox, in batches, until it is closed and empty.

    What ends alone is written at once. While other jobs are under way outcomes gather, until
    `interval` seconds after the last write at most.
    """

    store: SettlePort
    worker: str
    outbox: Outbox
    leases: Leases
    batch_size: int
    interval: float
    mailbox: Mailbox | None = None
    """What jobs said: it is written before their end is."""
    receipts: Receipts = field(factory=Receipts)
    on_written: Callable[[list[Outcome]], None] = lambda batch: None
    """Told what was written."""
    written: int = field(default=0, init=False)
    _flushed_at: float = field(default=-inf, init=False)

    async def run(self) -> None:
        failures = 0
        while True:
            await self._gather()
            if self.outbox.ended:
                return
            batch = self.outbox.take(MOST_PER_WRITE)
            try:
                await self._write(batch)
            except (LostConnectionError, SilentServerError) as error:
                # Settling twice is harmless: the store answers "repeated". The leases are kept
                # meanwhile, as far as the server can be reached at all.
                failures += 1
                logger.warning("cannot write %d results yet: %s", len(batch), error)
                await anyio.sleep(min(2.0, 0.1 * 2**failures) * random.uniform(0.5, 1.0))
            except RedisError as error:
                failures += 1
                logger.error("the server refuses %d results: %s", len(batch), error)
                await anyio.sleep(min(2.0, 0.1 * 2**failures) * random.uniform(0.5, 1.0))
            else:
                failures = 0

    async def _gather(self) -> None:
        await self.outbox.arrival()
        if self.leases.statistics().held > self.outbox.statistics().queued:  # more is under way
            with anyio.move_on_at(self._flushed_at + self.interval):
                await self.outbox.arrival(self.batch_size)
        self._flushed_at = anyio.current_time()

    async def _write(self, batch: list[Outcome]) -> None:
        written = False
        try:
            if self.mailbox is not None and not self.mailbox.empty:
                await self.mailbox.written(outcome.held for outcome in batch)
            answers = await self.store.settle(self.worker, batch)
            written = True
        finally:
            if not written:
                self.outbox.put_back(batch)
        self.written += len(batch)
        self.leases.remove([outcome.held for outcome in batch])
        for outcome, answer in zip(batch, answers, strict=True):
            if answer is not Settled.APPLIED and answer is not Settled.REPEATED:
                self._report(outcome, answer)
        self.on_written(batch)
        if self.receipts:
            for outcome, answer in zip(batch, answers, strict=True):
                self.receipts.tell(outcome.held, answer)

    def _report(self, outcome: Outcome, answer: Settled | str) -> None:
        held = outcome.held
        if answer is Settled.STALE:
            logger.warning(
                "%s (%s): delivery %d is not ours any more, its %s was not written",
                held.function,
                held.id,
                held.delivery,
                outcome.ending.value,
            )
        else:
            logger.error("%s (%s): its result was refused: %s", held.function, held.id, answer)
