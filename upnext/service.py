"""The life of one process: nested task groups, and nothing else.

    signals, the parent's word, the embedded server
      └ workers            go on while APIs finish, whose handlers may wait for jobs
          └ APIs           end first

Stopping is leaving the innermost group. APIs take no more requests and finish the open ones; then
the workers drain. One component that ends by itself stops the others the same way.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from math import inf

import anyio
from anyio.abc import TaskStatus
from attrs import define, evolve, field
from redis.exceptions import RedisError

from upnext.client.connect import bounds_of
from upnext.contracts.keys import Keys
from upnext.redis.embedded import EmbeddedServer, EmbeddedServerError
from upnext.redis.pool import current_link
from upnext.redis.url import Address
from upnext.settings import Settings
from upnext.store.blocking import BlockingStore
from upnext.store.bounds import Bounds
from upnext.store.store import Store
from upnext.supervision.lifeline import Lifeline
from upnext.worker.compose import compose_worker
from upnext.worker.lifespan import LifespanError
from upnext.worker.shutdown import Shutdown
from upnext.worker.supervisor import run_worker
from upnext.worker.worker import Worker

__all__ = ["Service"]

logger = logging.getLogger("upnext.runner")

REVIVE_INTERVAL = 1.0
"""Seconds between two looks at whether the embedded server is connected; a look costs nothing."""
ONE_SIGNAL = 0.5
"""Seconds within which signals count as one: many tools send theirs to the process and to its
group."""


@define(eq=False)
class Service:
    """The components of one process, in one event loop."""

    workers: Sequence[Worker]
    settings: Settings
    url: str | None
    """The broker of components that name none themselves."""
    server: EmbeddedServer | None
    worker_timeout: float
    lifeline: Lifeline | None = None
    """The way to the process that supervises this one."""
    failed: bool = field(default=False, init=False)
    _stopping: anyio.Event = field(factory=anyio.Event, init=False)
    _shutdowns: list[Shutdown] = field(factory=list[Shutdown], init=False)

    async def run(self) -> None:
        """Run all components; when one ends by itself, end the others too."""
        self._shutdowns = [Shutdown(self.worker_timeout) for _ in self.workers]
        readiness = _Readiness(len(self.workers), self._say_ready)
        async with anyio.create_task_group() as around:
            await around.start(self._heed_signals)
            if self.server is not None:
                around.start_soon(self._revive, self.server)
            if self.lifeline is not None:
                around.start_soon(self._heed_parent, self.lifeline)
            async with anyio.create_task_group() as working:
                for worker, shutdown in zip(self.workers, self._shutdowns, strict=True):
                    run = partial(self._run_worker, worker, shutdown, readiness)
                    working.start_soon(run, name=worker.name)
                await self._stopping.wait()
                for shutdown in self._shutdowns:
                    shutdown.begin_drain()
            around.cancel_scope.cancel()

    def _begin_stop(self) -> None:
        self._stopping.set()

    def _stop_now(self) -> None:
        self._begin_stop()
        for shutdown in self._shutdowns:
            shutdown.stop_now()

    def _say_ready(self) -> None:
        if self.lifeline is not None:
            self.lifeline.ready()

    async def _run_worker(
        self, worker: Worker, shutdown: Shutdown, task_status: TaskStatus[None]
    ) -> None:
        address = Address.parse(worker.redis_url or self.url or "")
        queue = worker.queue_config.over(self.settings.queue)
        keys = Keys(self.settings.workspace_id)
        bounds = bounds_of(evolve(self.settings, queue=queue))
        store = Store(current_link(address, name=f"upnext-{worker.name}"), keys, bounds)
        try:
            logger.info("worker %s connects to %s", worker.name, address.describe())
            await store.now()  # an unreachable broker is found out before anything is started
            parts = compose_worker(
                worker,
                store=store,
                keys=keys,
                queue=queue,
                open_blocking_store=partial(_open_blocking_store, address, keys, bounds),
                pace=self.settings.pace,
            )
            logger.info("worker %s started as %s", worker.name, parts.worker)
            report = await run_worker(parts, shutdown, _give_up, task_status=task_status)
        except (RedisError, LifespanError) as error:
            logger.error("worker %s: %s", worker.name, error)
            self.failed = True
        except Exception:  # the other components are ended before the process is
            logger.exception("worker %s crashed", worker.name)
            self.failed = True
        else:
            self.failed |= not report.clean
            logger.info("worker %s stopped", worker.name)
        self._begin_stop()

    async def _revive(self, server: EmbeddedServer) -> None:
        """Start the embedded server again when it died: nobody else will."""
        link = current_link(Address.parse(server.url))
        while True:
            await anyio.sleep(REVIVE_INTERVAL)
            if link.statistics().connected:
                continue
            try:
                await anyio.to_thread.run_sync(server.revive)
            except EmbeddedServerError as error:
                logger.error("%s", error)

    async def _heed_parent(self, lifeline: Lifeline) -> None:
        await lifeline.heed(on_now=self._stop_now)
        logger.error("the process that supervises this one is gone: draining")
        self._begin_stop()

    async def _heed_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            first = inf
            async for number in signals:
                again = self._stopping.is_set()
                if again and anyio.current_time() - first < ONE_SIGNAL:
                    continue
                first = min(first, anyio.current_time())
                name = signal.Signals(number).name
                # Under a parent, it is the parent that has said so.
                level = logging.INFO if self.lifeline is None else logging.DEBUG
                logger.log(level, "%s: %s", name, "stopping now" if again else "draining")
                if again:
                    self._stop_now()
                else:
                    self._begin_stop()


@define(eq=False)
class _Readiness:
    """Counts the components that have started."""

    missing: int
    on_all: Callable[[], None]

    def started(self, value: None = None) -> None:
        self.missing -= 1
        if self.missing == 0:
            self.on_all()


def _open_blocking_store(address: Address, keys: Keys, bounds: Bounds) -> BlockingStore:
    return BlockingStore(address.blocking_client(), keys, bounds)


async def _give_up(names: list[str]) -> None:
    """End a process that jobs which swallow their cancellation would keep for ever."""
    logging.shutdown()
    os._exit(1)
