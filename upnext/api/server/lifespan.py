"""The ASGI lifespan of an app: told to start before the first request, to stop after the last."""

from __future__ import annotations

import logging
from typing import Any

import anyio
from anyio.abc import TaskStatus
from attrs import define, field

from upnext.api.bounded import Bounded
from upnext.api.ports import ASGIApp, Message
from upnext.errors import UpNextError

logger = logging.getLogger("upnext.api")

START_PATIENCE = 60.0
STOP_PATIENCE = 10.0
"""Seconds."""


class ApiLifespanError(UpNextError):
    """An API's app could not be started or stopped; one line says why."""


@define(eq=False)
class Lifespan:
    """Runs an app's lifespan in a task of its own."""

    app: ASGIApp
    state: dict[str, Any]
    """What the app puts here, its requests see."""
    _inbox: Bounded[Message] = field(factory=lambda: Bounded[Message](2), init=False)
    _started: anyio.Event = field(factory=anyio.Event, init=False)
    _over: anyio.Event = field(factory=anyio.Event, init=False)
    _problem: str | None = field(default=None, init=False)
    _supported: bool = field(default=True, init=False)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be the app's lifespan; started when the app is.

        Raises:
            ApiLifespanError: the app could not start, or its lifespan broke.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._live)
            await self._inbox.put({"type": "lifespan.startup"})
            await self._wait(self._started, START_PATIENCE, "start")
            task_status.started()

    async def stop(self) -> None:
        """Tell the app that all requests are over, and wait until it is done.

        Raises:
            ApiLifespanError: it failed, or took too long.
        """
        if self._supported:
            await self._inbox.put({"type": "lifespan.shutdown"})
            await self._wait(self._over, STOP_PATIENCE, "stop")

    async def _wait(self, event: anyio.Event, patience: float, word: str) -> None:
        with anyio.move_on_after(patience) as late:
            await event.wait()
        if late.cancelled_caught:
            raise ApiLifespanError(f"the app did not {word} within {patience:g} seconds")
        if self._problem is not None:
            raise ApiLifespanError(f"the app could not {word}: {self._problem}")

    async def _live(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"spec_version": "2.0", "version": "3.0"},
            "state": self.state,
        }
        try:
            await self.app(scope, self._inbox.get, self._hear)
        except Exception as error:  # the app's, whatever it is
            if self._started.is_set() and self._supported:
                self._problem = self._problem or str(error) or type(error).__name__
            # Many apps know no lifespan, and say so by failing at it.
            logger.debug("the app's lifespan ended", exc_info=True)
        self._supported = False
        self._started.set()
        self._over.set()

    async def _hear(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                self._started.set()
            case "lifespan.shutdown.complete":
                self._over.set()
            case _:
                self._problem = str(message.get("message") or message["type"])
                self._started.set()
                self._over.set()
