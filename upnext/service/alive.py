"""Keeps the health file new for as long as this process does what it is there for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import anyio
from anyio import to_thread
from attrs import define, field

from upnext.service.health_file import HealthFile

__all__ = ["Alive"]

logger = logging.getLogger("upnext.runner")

INTERVAL = 10.0
"""Seconds between two touches."""
TOUCH_LIMIT = 2.0
"""Seconds in which the file system must answer."""


@define(eq=False)
class Alive:
    """Touches the health file while all workers prove that they can claim, and removes it.

    An event loop that is blocked touches nothing, and neither does a worker that is deaf.
    """

    file: HealthFile
    proofs: Sequence[Callable[[], bool]]
    """Tells of each worker whether it can claim."""
    limiter: anyio.CapacityLimiter = field(factory=partial(anyio.CapacityLimiter, 1))
    """Of its own: handlers may hold all threads of the default one, and live."""
    _busy: bool = field(default=False, init=False)
    """A thread is in the file system; where that hangs, it hangs once."""
    _failing: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Touch the file until cancelled; then remove it, within a bound."""
        try:
            while True:
                if all(can_claim() for can_claim in self.proofs):
                    await self._touch()
                await anyio.sleep(INTERVAL)
        finally:
            with anyio.move_on_after(TOUCH_LIMIT, shield=True):
                try:
                    await self._in_thread(self.file.remove)
                except OSError as error:
                    logger.info("the health file stays, and goes stale: %s", error)

    async def _touch(self) -> None:
        problem = f"the file system did not answer within {TOUCH_LIMIT:g} s"
        with anyio.move_on_after(TOUCH_LIMIT):
            try:
                await self._in_thread(self.file.touch)
            except OSError as error:
                problem = str(error)
            else:
                self._failing = False
                return
        if not self._failing:
            self._failing = True
            logger.warning(
                "cannot touch the health file (UPNEXT_HEALTH_FILE): %s; probes that look at it"
                " will find this service dead",
                problem,
            )

    async def _in_thread(self, call: Callable[[], None]) -> None:
        if self._busy:
            raise TimeoutError("the file system still does not answer")

        def alone() -> None:
            self._busy = True
            try:
                call()
            finally:
                self._busy = False

        await to_thread.run_sync(alone, abandon_on_cancel=True, limiter=self.limiter)
