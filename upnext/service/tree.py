"""The life of one process: nested task groups, and nothing else.

    signals, the parent's word, the embedded server, the health file
      └ workers            go on while APIs finish, whose handlers may wait for jobs
          └ APIs           end first

Stopping is leaving the innermost group. APIs take no more requests and finish the open ones; then
the workers drain. One component that ends by itself stops the others the same way.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus
from attrs import define, field

from upnext.redis.embedded import EmbeddedServer, EmbeddedServerError
from upnext.redis.pool import current_link
from upnext.redis.url import Address
from upnext.service.alive import Alive
from upnext.service.health_file import HealthFile
from upnext.service.heap import Heap
from upnext.service.surroundings import Surroundings
from upnext.service.working import work
from upnext.supervision.lifeline import Lifeline
from upnext.worker.log import Log
from upnext.worker.shutdown import Shutdown
from upnext.worker.worker import Worker

if TYPE_CHECKING:
    from upnext.api.api import Api  # a process without an API does not load what serves one

__all__ = ["Service"]

logger = Log("upnext.runner")

REVIVE_INTERVAL = 1.0
"""Seconds between two looks at whether the embedded server is connected; a look costs nothing."""
API_MARGIN = 12.0
"""Seconds beyond their timeout in which APIs end by themselves: an app's own stop has 10."""
ONE_SIGNAL = 0.5
"""Seconds within which signals count as one: many tools send theirs to the process and to its
group."""


@define(eq=False, kw_only=True)
class Service:
    """The components of one process, in one event loop."""

    workers: Sequence[Worker]
    apis: Sequence[Api] = ()
    around: Surroundings
    server: EmbeddedServer | None
    worker_timeout: float
    """Seconds of grace for jobs that run."""
    api_timeout: float
    """Seconds of grace for open requests, before that."""
    health_file: HealthFile
    """Touched from when all have started."""
    dev: bool = False
    """Whether frontends are served by their dev servers."""
    skip_build: bool = False
    sockets: Mapping[Api, Sequence[socket.socket]] = field(factory=dict[Any, Any])
    """What listens already, by the API it belongs to."""
    lifeline: Lifeline | None = None
    """The way to the process that supervises this one."""
    on_started: Callable[[], None] | None = None
    """Called once, when all have started."""
    failed: bool = field(default=False, init=False)
    _stopping: anyio.Event = field(factory=anyio.Event, init=False)
    _serving: anyio.CancelScope = field(init=False)
    """Around all APIs; cancelled, it cancels their requests."""
    _shutdowns: list[Shutdown] = field(factory=list[Shutdown], init=False)
    _started: anyio.Event = field(factory=anyio.Event, init=False)
    _proofs: list[Callable[[], bool]] = field(factory=list[Callable[[], bool]], init=False)
    """Of each worker whether it can claim."""
    _heap: Heap = field(factory=Heap, init=False)

    async def run(self) -> None:
        """Run all components; when one ends by itself, end the others too."""
        try:
            await self._run()
        finally:
            self._heap.restore()

    async def _run(self) -> None:
        self._serving = anyio.CancelScope()
        self._shutdowns = [Shutdown(self.worker_timeout) for _ in self.workers]
        readiness = _Readiness(len(self.workers) + len(self.apis), self._say_ready)
        async with anyio.create_task_group() as outermost:
            await outermost.start(self._heed_signals)
            if self.server is not None:
                outermost.start_soon(self._revive, self.server)
            if self.lifeline is not None:
                outermost.start_soon(self._heed_parent, self.lifeline)
            outermost.start_soon(self._live, name="health file")
            async with anyio.create_task_group() as working:
                for worker, shutdown in zip(self.workers, self._shutdowns, strict=True):
                    working.start_soon(
                        self._work, worker, shutdown, readiness, name=f"worker {worker.name}"
                    )
                with self._serving:
                    async with anyio.create_task_group() as serving:
                        for api in self.apis:
                            serving.start_soon(self._serve, api, readiness, name=f"api {api.name}")
                await self._stopping.wait()
                for shutdown in self._shutdowns:
                    shutdown.begin_drain()
            outermost.cancel_scope.cancel()

    def _begin_stop(self) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            # Every API keeps to its timeout; this is for one that cannot.
            self._serving.deadline = anyio.current_time() + self.api_timeout + API_MARGIN

    def _stop_now(self) -> None:
        self._begin_stop()
        self._serving.cancel()
        for shutdown in self._shutdowns:
            shutdown.stop_now()

    def _say_ready(self) -> None:
        self._started.set()
        if self.on_started is not None:
            self.on_started()
        self._heap.settle()
        if self.lifeline is not None:
            self.lifeline.ready()

    async def _work(
        self, worker: Worker, shutdown: Shutdown, task_status: TaskStatus[None]
    ) -> None:
        if not await work(worker, self.around, shutdown, self._proofs, task_status):
            self.failed = True
        self._begin_stop()

    async def _serve(self, api: Api, task_status: TaskStatus[None]) -> None:
        from upnext.service.serving import serve

        well = await serve(
            api,
            self.around,
            sockets=self.sockets.get(api, ()),
            stopping=self._stopping,
            timeout=self.api_timeout,
            dev=self.dev,
            skip_build=self.skip_build,
            task_status=task_status,
        )
        if not well:
            self.failed = True
        self._begin_stop()

    async def _live(self) -> None:
        await self._started.wait()
        await Alive(self.health_file, self._proofs).run()

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
