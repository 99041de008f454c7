"""Writes what an API served to the store."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.api.tracking.backlog import Backlog
from upnext.api.tracking.ports import TrafficPort

logger = logging.getLogger("upnext.api")

INTERVAL = 1.0
"""Seconds between two writes."""
LAST_WRITE = 2.0
"""Seconds for what is left at the end."""
RETRY_INTERVAL = 0.1
"""Seconds until it is tried again then."""


@define(eq=False)
class Reporter:
    """Empties the backlog, each interval with one write, and once more when it is cancelled.

    What could not be written waits, so a server that is away costs time resolution, no counts. A
    write whose outcome is unknown is repeated under its number, which the store knows.
    """

    store: TrafficPort
    api: str
    writer: str
    backlog: Backlog
    clock: Callable[[], float]
    interval: float = INTERVAL
    _failing: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Write until cancelled, and what is left then within a bound."""
        try:
            while True:
                await anyio.sleep(self.interval)
                self.backlog.gather(self.clock())
                while await self._write_next() and self.backlog.pressing:
                    pass
        finally:
            with anyio.move_on_after(LAST_WRITE, shield=True):
                await self._finish()
            if left := self.backlog.requests:
                logger.warning("%s: %d requests served here are not counted", self.api, left)

    async def _finish(self) -> None:
        self.backlog.gather(self.clock())
        while not self.backlog.empty:
            if not await self._write_next():
                await anyio.sleep(RETRY_INTERVAL)

    async def _write_next(self) -> bool:
        """Write one batch; False when there is none, or it cannot be written now."""
        batch = self.backlog.batch(self.clock())
        if batch is None:
            return False
        try:
            await self.store.track(self.api, self.writer, batch)
        except RedisError as error:
            if not self._failing:
                logger.warning("%s: cannot write yet what it served: %s", self.api, error)
            self._failing = True
            return False
        self.backlog.written()
        if self._failing:
            logger.info("%s: what it served is written again", self.api)
        self._failing = False
        return True
