"""Writes what jobs say to the store."""

from __future__ import annotations

import random
from math import inf

import anyio
from attrs import define, field
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as SilentServerError

from upnext.model.job import Held
from upnext.model.report import Reports, Written
from upnext.worker.log import logger
from upnext.worker.ports import ReportPort
from upnext.worker.reporting.capture import capturing
from upnext.worker.reporting.mailbox import Mailbox

MOST_PER_WRITE = 500
"""Reports in one write; the server serves nobody else while a script runs."""
MOST_BYTES_PER_WRITE = 1 << 20
INTERVAL = 0.02
"""Seconds between two writes, unless somebody waits for one."""


@define(eq=False)
class Reporter:
    """Empties the mailbox, in batches, as long as the worker lives.

    What is said after a pause is written at once. The end of an attempt is not written before
    all that it said is: the flusher waits for `Mailbox.written`.
    """

    store: ReportPort
    worker: str
    mailbox: Mailbox
    _written_at: float = field(default=-inf, init=False)

    async def run(self) -> None:
        with self.mailbox.listening(), capturing():
            while True:
                await self._gather()
                if batch := self.mailbox.take(MOST_PER_WRITE, MOST_BYTES_PER_WRITE):
                    await self._write(batch)

    async def _gather(self) -> None:
        await self.mailbox.arrival()
        with anyio.move_on_at(self._written_at + INTERVAL):
            await self.mailbox.urgency()
        self._written_at = anyio.current_time()

    async def _write(self, batch: list[Reports]) -> None:
        failures = 0
        while True:
            try:
                answers = await self.store.report(self.worker, batch)
            except (LostConnectionError, SilentServerError) as error:
                # Reports are numbered: those that were written are not written again.
                failures += 1
                logger.warning("cannot write what %d jobs say yet: %s", len(batch), error)
                await anyio.sleep(min(2.0, 0.1 * 2**failures) * random.uniform(0.5, 1.0))
            except RedisError as error:
                # What a job says is not worth holding up its result for ever.
                logger.error("what %d jobs say is lost, the server refuses: %s", len(batch), error)
                self.mailbox.done(batch)
                return
            else:
                break
        refused: list[Held] = []
        for reports, answer in zip(batch, answers, strict=True):
            if answer is not Written.APPLIED:
                refused.append(reports.held)
                self._complain(reports.held, answer)
        self.mailbox.done(batch, refused)

    def _complain(self, held: Held, answer: Written | str) -> None:
        if answer is Written.STALE:
            logger.warning(
                "%s (%s): delivery %d is not ours any more, what it says is not written",
                held.function,
                held.id,
                held.delivery,
            )
        else:
            logger.error("%s (%s): what it says was refused: %s", held.function, held.id, answer)
