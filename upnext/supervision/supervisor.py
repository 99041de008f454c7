"""The life of a service of several processes: nested task groups, and nothing else.

    signals, changes of files
      └ leaving                processes that were told to stop, until they are gone
          └ a generation       one task for each process: start, attend, start again

Stopping is leaving the innermost group: each of its tasks hands its process over to the group of
those that leave. A change of files does just that and begins the next generation, while the old
processes are still finishing.
"""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Callable
from contextlib import aclosing
from math import inf

import anyio
from anyio.abc import TaskGroup, TaskStatus
from attrs import define, field, frozen

from upnext.supervision.ports import Changes, Child, Children
from upnext.supervision.restarts import Restarts

__all__ = ["RELOAD_GRACE", "Supervisor"]

logger = logging.getLogger("upnext.supervision")

START_LIMIT = 10.0
"""Seconds that forking a process may take."""
RELOAD_GRACE = 2.0
"""Seconds that running jobs and requests get when files changed; jobs are then handed back."""
MARGIN = 5.0
"""Seconds beyond its grace that a process gets to end by itself."""
HARD_LIMIT = 15.0
"""Seconds a process gets to hand everything back; then it is killed."""
ONE_SIGNAL = 0.5
"""Seconds within which signals count as one, as in a process that runs alone."""


@define(eq=False)
class Supervisor:
    """Keeps processes running.

    Args:
        children: What starts them.
        processes: How many.
        grace: Seconds that they have to finish what they do when they are told to stop.
        changes: Tells of changed files: then all are replaced. None: nobody looks.
        chance: Numbers from 0 to 1, to spread restarts.
    """

    children: Children
    processes: int
    grace: float
    changes: Changes | None = None
    chance: Callable[[], float] = random.random
    failed: bool = field(default=False, init=False)
    """Whether the service was given up, or a process did not end as it should."""
    _stopping: bool = field(default=False, init=False)
    _insisted: bool = field(default=False, init=False)
    _proven: bool = field(default=False, init=False)
    _generation: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _patience: set[anyio.CancelScope] = field(factory=set[anyio.CancelScope], init=False)
    """One for each process that may still finish what it does."""
    _leaving: TaskGroup = field(init=False)

    async def run(self) -> None:
        """Run until a signal ends it or it gives up; every process is gone when this returns."""
        async with anyio.create_task_group() as around:
            await around.start(self._heed_signals)
            if self.changes is not None:
                around.start_soon(self._heed_changes, self.changes)
            async with anyio.create_task_group() as self._leaving:
                while not self._stopping:
                    with anyio.CancelScope() as self._generation:
                        await self._run_generation()
            around.cancel_scope.cancel()

    def stop(self) -> None:
        """Let all processes finish the first time, hand back what they do from then on."""
        if self._stopping:
            self._insisted = True
            for patience in self._patience:
                patience.cancel()
        self._stopping = True
        self._generation.cancel()

    async def _run_generation(self) -> None:
        self.children.begin()
        async with anyio.create_task_group() as slots:
            # The first one tries it out: a service that cannot start says so once, not N times.
            await slots.start(self._keep, 1)
            self.children.settle()
            for number in range(2, self.processes + 1):
                slots.start_soon(self._keep, number)

    async def _keep(
        self, number: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep one process running; `task_status` is told when it is ready for the first time."""
        restarts, ready = Restarts(), _Ready(task_status)
        while True:
            ready.at = None
            ended = await self._live(number, ready)
            self._proven |= ready.told
            if ready.at is None and self.changes is not None:
                logger.error("%s; waiting for a change of the files", ended)
                await anyio.sleep_forever()  # the change cancels this
            delay = restarts.after(
                ended.code,
                worked=None if ready.at is None else anyio.current_time() - ready.at,
                proven=self._proven,
                chance=self.chance(),
            )
            if delay is None:
                logger.error("%s before it was ready: giving up", ended)
                self.failed = True
                self.stop()  # which cancels this
            else:
                logger.error("%s; starting it again in %.1f s", ended, delay)
            await anyio.sleep(inf if delay is None else delay)

    async def _live(self, number: int, ready: _Ready) -> _Ended:
        try:
            # Cancelled in the middle, a process could be left that nobody knows.
            with anyio.fail_after(START_LIMIT, shield=True):
                child = await self.children.start(number)
        except (OSError, TimeoutError) as error:
            logger.error("process %d cannot be started: %s", number, error)
            return _Ended(number, None, 1)
        try:
            return _Ended(number, child.pid, await child.attend(ready.begin))
        finally:
            if not child.ended:
                self._leaving.start_soon(self._see_off, number, child, name=f"{number} leaves")

    async def _see_off(self, number: int, child: Child) -> None:
        """Let a process end, make it end, end it."""
        stopping = self._stopping
        child.stop()
        with anyio.move_on_after(self.grace + MARGIN if stopping else RELOAD_GRACE) as patience:
            self._patience.add(patience)
            if self._insisted:
                patience.cancel()
            await child.wait()
        self._patience.discard(patience)
        if not child.ended:
            child.stop_now()
            with anyio.move_on_after(HARD_LIMIT):
                await child.wait()
        if not child.ended:
            logger.error("process %d (pid %d) does not end: killing it", number, child.pid)
            child.kill()
        code = await child.wait()
        # One that was not ready has no ear for SIGTERM yet, and ends by it.
        if code not in (0, -signal.SIGTERM):
            self.failed |= stopping
            logger.error("%s", _Ended(number, child.pid, code))

    async def _heed_changes(self, changes: Changes) -> None:
        async with aclosing(changes()) as news:
            async for changed in news:
                logger.info("%s changed: reloading", changed)
                self._generation.cancel()

    async def _heed_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            first = inf
            async for number in signals:
                if self._stopping and anyio.current_time() - first < ONE_SIGNAL:
                    continue
                first = min(first, anyio.current_time())
                name = signal.Signals(number).name
                logger.info("%s: %s", name, "stopping now" if self._stopping else "draining")
                self.stop()


@define(eq=False)
class _Ready:
    """Notes when a process is ready, and passes it on the first time."""

    task_status: TaskStatus[None]
    at: float | None = None
    told: bool = False

    def begin(self) -> None:
        self.at = anyio.current_time()
        if not self.told:
            self.told = True
            self.task_status.started()


@frozen
class _Ended:
    """How a process ended; its text is the start of a log line."""

    number: int
    pid: int | None
    code: int

    def __str__(self) -> str:
        who = f"process {self.number}" + ("" if self.pid is None else f" (pid {self.pid})")
        if self.code >= 0:
            return f"{who} ended with exit code {self.code}"
        try:
            return f"{who} was ended by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"{who} was ended by signal {-self.code}"
