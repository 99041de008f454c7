"""Keeps the leases of what a worker holds."""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.model.job import Held, Revoked
from upnext.worker.log import logger
from upnext.worker.ports import BlockingRenewPort, RenewPort
from upnext.worker.settlement.leases import Leases

BEAT_INTERVAL = 0.5
"""Seconds between two signs of life of the event loop."""
BLOCKED = 2 * BEAT_INTERVAL
"""A loop that has been silent for so many seconds counts as blocked."""


@define(eq=False)
class LoopRenewal:
    """Renews from the event loop: for stores without a blocking side, such as the memory store."""

    store: RenewPort
    worker: str
    leases: Leases
    period: float
    on_revoked: Callable[[Revoked], None]

    async def run(self) -> None:
        while True:
            await anyio.sleep(self.period)
            held = self.leases.held()
            if held:
                for revoked in await self.store.renew(self.worker, held):
                    self.on_revoked(revoked)


@define(eq=False)
class ThreadRenewal:
    """Renews from a thread of the tree, over its own socket.

    User code that blocks the event loop loses no lease this way. The thread watches the loop's
    signs of life; it names what blocks, sees to it that no job is handed over that the loop could
    not take, and when the loop stood still for `most_blocked` seconds it stops renewing, so that
    another worker gets the jobs.
    """

    open_store: Callable[[], BlockingRenewPort]
    worker: str
    functions: list[str]
    leases: Leases
    period: float
    most_blocked: float
    on_revoked: Callable[[Revoked], None]
    on_withdrawn: Callable[[], None]
    """No job is handed over to the worker any more until it claims again."""
    running: Callable[[], list[str]]
    """Names of the jobs that run, for the message about a blocked loop."""
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _calls: queue.SimpleQueue[Callable[[], None] | None] = field(
        factory=queue.SimpleQueue["Callable[[], None] | None"], init=False
    )
    """Put by the renewal thread, made by the loop's listener."""
    _beat: float = field(factory=time.monotonic, init=False)
    """Written by the event loop, read by the thread."""
    _loop_thread: int = field(factory=threading.get_ident, init=False)

    async def run(self) -> None:
        # Two threads of this worker's own, so that jobs never queue for them or they for jobs.
        threads = anyio.CapacityLimiter(2)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._give_signs_of_life)
                group.start_soon(self._listen, threads)
                await anyio.to_thread.run_sync(
                    self._renew_until_stopped, limiter=threads, abandon_on_cancel=True
                )
        finally:
            self._stop.set()
            self._calls.put(None)

    async def _give_signs_of_life(self) -> None:
        while True:
            self._beat = time.monotonic()
            await anyio.sleep(BEAT_INTERVAL)

    async def _listen(self, threads: anyio.CapacityLimiter) -> None:
        while True:
            call = await anyio.to_thread.run_sync(
                self._next_call, limiter=threads, abandon_on_cancel=True
            )
            if call is None:
                return
            call()

    def _next_call(self) -> Callable[[], None] | None:
        return self._calls.get()

    def _renew_until_stopped(self) -> None:
        store, warned = self.open_store(), False
        look, waited = min(self.period, BEAT_INTERVAL), 0.0
        try:
            while not self._stop.wait(look):
                waited += look
                silent = time.monotonic() - self._beat
                if silent > BLOCKED and not warned:
                    self._name_the_culprit(silent)
                    self._withdraw(store)
                warned = silent > BLOCKED
                if waited >= self.period and silent <= self.most_blocked:
                    waited = 0.0
                    self._renew(store, self.leases.held())
        finally:
            store.close()

    def _renew(self, store: BlockingRenewPort, held: list[Held]) -> None:
        if not held:
            return
        try:
            for revoked in store.renew(self.worker, held):
                self._calls.put(partial(self.on_revoked, revoked))
        except RedisError as error:
            logger.warning("cannot renew %d leases: %s", len(held), error)

    def _withdraw(self, store: BlockingRenewPort) -> None:
        try:
            store.withdraw(self.worker, self.functions)
        except RedisError as error:
            logger.warning("cannot withdraw the worker from those with free slots: %s", error)
        # Told afterwards: the loop may go on meanwhile, and what it claimed then is undone.
        self._calls.put(self.on_withdrawn)

    def _name_the_culprit(self, silent: float) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # pyright: ignore[reportPrivateUsage]
        where = traceback.format_stack(frame, limit=None)[-1].strip() if frame else "unknown"
        logger.warning(
            "the event loop has been blocked for %.1f s, while these jobs ran: %s; it stands at %s",
            silent,
            ", ".join(self.running()[:5]) or "none",
            " ".join(where.split()),
        )
