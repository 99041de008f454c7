"""What a worker opens before its first job and closes after its last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import Any

import anyio
from attrs import define, field

from upnext.errors import UpNextError
from upnext.worker.execution.blame import is_the_jobs, without_the_jobs
from upnext.worker.execution.failure import message_of, users_part
from upnext.worker.log import logger
from upnext.worker.shutdown import Shutdown

CLOSE_LIMIT = 10.0
"""Seconds that a lifespan may take to close, after the last job."""
UNWIND_LIMIT = 2.0
"""Seconds more, once it is cancelled."""


class LifespanError(UpNextError):
    """The lifespan of a worker failed; the message says when and why, in one line."""


@define(eq=False)
class Life:
    """Runs a worker's lifespan in a task of its own, and owns its state.

    In a task of its own, so that a lifespan which fails half way ends its worker as a failed
    intake does: with what runs drained first.
    """

    name: str
    """The worker's."""
    open: Callable[[], AbstractAsyncContextManager[Any]]
    state: Any = field(default=None, init=False)
    entered: bool = field(default=False, init=False)
    error: LifespanError | None = field(default=None, init=False)
    opened: anyio.Event = field(factory=anyio.Event, init=False)
    """Set once it is open, or will not be."""
    _scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _over: anyio.Event = field(factory=anyio.Event, init=False)
    _ended: anyio.Event = field(factory=anyio.Event, init=False)

    async def run(self, shutdown: Shutdown) -> None:
        """Open it, wait until the worker is done with it, close it.

        Args:
            shutdown: Drained when it fails on the way.
        """
        try:
            # Errors are looked at outside the scope, as those of a job's function are.
            with self._scope as scope:
                async with self.open() as self.state:
                    self.entered = True
                    self.opened.set()
                    logger.info("the lifespan of worker %s is open", self.name)
                    await self._over.wait()
                    scope.deadline = anyio.current_time() + CLOSE_LIMIT
        except BaseException as raised:
            if not is_the_jobs(raised):
                raise without_the_jobs(raised) from None
            self._fail(raised)
            shutdown.begin_drain()
        else:
            if scope.cancelled_caught and scope.deadline < inf:
                self.error = LifespanError(
                    f"the lifespan did not close within {CLOSE_LIMIT:g} s and was cancelled"
                )
        finally:
            self.opened.set()
            self._ended.set()

    async def close(self, on_stuck: Callable[[list[str]], Awaitable[None]]) -> None:
        """Have it closed, or what there is of it, and wait for that.

        Args:
            on_stuck: Called when it does not end although it was cancelled.
        """
        self._over.set()
        if not self.entered:
            self._scope.cancel("shutdown")
        with anyio.move_on_after(CLOSE_LIMIT + UNWIND_LIMIT):
            await self._ended.wait()
            return
        name = f"the lifespan of {self.name}"
        logger.error("%s does not end although it was cancelled", name)
        await on_stuck([name])

    def _fail(self, raised: BaseException) -> None:
        when = "at the start"
        if self.entered:
            when = "while it closed" if self._over.is_set() else "while the worker ran"
        said = f"{type(raised).__name__}: {message_of(raised)}".removesuffix(": ")
        said = " ".join(said.split())
        self.error = LifespanError(f"the lifespan failed {when}: {said}{_place(raised)}")
        self.error.__cause__ = raised
        logger.debug("%s", self.error, exc_info=raised)


def _place(error: BaseException) -> str:
    """The line of the lifespan that it comes from."""
    trace = users_part(error)
    return "" if trace is None else f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
