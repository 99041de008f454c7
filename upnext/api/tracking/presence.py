"""Says that an API is served by this process."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.api.tracking.ports import PresencePort
from upnext.contracts.api_instances import ApiInstance

logger = logging.getLogger("upnext.api")

INTERVAL = 10.0
"""Seconds between two beats."""
TTL = 30_000
"""Milliseconds after which a silent instance's record is gone."""
LEAVE = 1.0
"""Seconds for saying that it leaves."""


@define(eq=False)
class Presence:
    """Publishes the record of this instance, which expires when the process is gone."""

    store: PresencePort
    api: str
    id: str
    host: str
    port: int
    endpoints: Callable[[], Sequence[str]]
    _started_at: float = field(factory=time.time, init=False)

    async def run(self) -> None:
        """Beat until cancelled; then leave within a bound."""
        try:
            while True:
                try:
                    await self.store.present(self.api, self.id, self._record(), TTL)
                except RedisError as error:
                    logger.warning("%s: cannot publish that it is served: %s", self.api, error)
                await anyio.sleep(INTERVAL)
        finally:
            with anyio.move_on_after(LEAVE, shield=True):
                try:
                    await self.store.leave(self.api, self.id)
                except RedisError as error:
                    logger.info("%s: its record stays until it expires: %s", self.api, error)

    def _record(self) -> bytes:
        return ApiInstance(
            id=self.id,
            api_name=self.api,
            started_at=self._started_at,
            last_heartbeat=time.time(),
            host=self.host,
            port=self.port,
            endpoints=list(self.endpoints()),
            hostname=socket.gethostname(),
            pid=os.getpid(),
        ).pack()
