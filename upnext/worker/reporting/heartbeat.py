"""Says that this worker is there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

import anyio
import orjson
from attrs import define, field
from redis.exceptions import RedisError

from upnext.worker.log import logger
from upnext.worker.ports import PresencePort

INTERVAL = 10.0
"""Seconds between two heartbeats."""
RETRY_INTERVAL = 0.5
"""Seconds until it tries again to say for the first time what it runs."""
TTL = 30_000
"""Milliseconds after which a silent worker's record is gone."""
UNPROVEN = 30.0
"""Seconds without a proof that it can claim after which a worker calls itself unhealthy."""


@define(eq=False)
class Heartbeat:
    """Publishes the worker's record, which expires when the worker is gone.

    Healthy means that it can claim: a worker whose connection lives and whose fetcher is deaf
    must not look alive.
    """

    store: PresencePort
    worker: str
    name: str
    concurrency: int
    definitions: Mapping[str, bytes]
    active: Callable[[], int]
    settled: Callable[[], int]
    claimed_at: Callable[[], float]
    every: float = INTERVAL
    """Seconds between two heartbeats."""
    on_lost: Callable[[], None] = lambda: None
    """Told when the server may have lost its data."""
    declared: anyio.Event = field(factory=anyio.Event, init=False)
    """The queue knows what is run here, and how it is limited."""
    _known: bool = field(default=False, init=False)
    """The same, as far as the last beat can tell."""
    _started_at: float = field(factory=time.time, init=False)

    async def run(self) -> None:
        while True:
            try:
                if not await self.store.beat(self.worker, self._record(), TTL):
                    self._known = False  # the server lost its data
                if not self._known:
                    # Not by what the beat says alone: one that is sent again finds itself, and
                    # saying what is run here may fail where the beat did not.
                    await self.store.declare(self.definitions)
                    self._known = True
                    if self.declared.is_set():
                        self.on_lost()
                    self.declared.set()
            except RedisError as error:
                logger.warning("cannot publish the heartbeat: %s", error)
            await anyio.sleep(self.every if self._known else RETRY_INTERVAL)

    @property
    def healthy(self) -> bool:
        """Whether the worker has proved lately that it can claim, or has nothing to prove."""
        return self._unproven() <= UNPROVEN

    def _unproven(self) -> float:
        return anyio.current_time() - self.claimed_at()

    def _record(self) -> bytes:
        healthy = self.healthy
        if not healthy:
            logger.error("no claim has succeeded for %.0f s: unhealthy", self._unproven())
        return orjson.dumps(
            {
                "id": self.worker,
                "worker_name": self.name,
                "started_at": self._started_at,
                "last_heartbeat": time.time(),
                "functions": list(self.definitions),
                "concurrency": self.concurrency,
                "active_jobs": self.active(),
                "jobs_processed": self.settled(),
                "hostname": socket.gethostname(),
                "pid": os.getpid(),
                "healthy": healthy,
            }
        )
