"""What Hypercorn's protocols ask of an event loop, on AnyIO."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup
from attrs import frozen

from upnext.api.bounded import Bounded
from upnext.api.leaving import LEAVING, Leaving
from upnext.api.ports import ASGIApp, Message

logger = logging.getLogger("upnext.api")

MOST_WAITING = 10
"""Parts of a request that its app has not asked for; then the client is held up."""


class Event:
    """An event that can be cleared."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    async def clear(self) -> None:
        """Make waiters wait again."""
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Wait until it is set."""
        await self._event.wait()

    async def set(self) -> None:
        """Let all go on that wait."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._event.is_set()


class Context:
    """What the connections of a server share: whether it is stopping."""

    event_class = Event

    def __init__(self) -> None:
        self.terminated = Event()

    async def mark_request(self) -> None:
        """Hypercorn counts requests to replace its processes; nobody replaces this one."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)


@frozen
class Requests:
    """The requests of one connection: tasks of the connection's group."""

    _group: TaskGroup

    async def spawn_app(
        self,
        app: ASGIApp,
        config: Any,
        scope: Any,
        send: Callable[[Any], Awaitable[None]],
    ) -> Callable[[Any], Awaitable[None]]:
        """Start the app on a request; returns where to put what the client sends."""
        inbox: Bounded[Any] = Bounded(MOST_WAITING)
        if scope["type"] == "http":
            leaving = scope["extensions"][LEAVING] = Leaving()

            async def put(message: Message) -> None:
                if message["type"] != "http.disconnect" or not leaving.leave():
                    await inbox.put(message)

            self._group.start_soon(_answer, app, scope, inbox.get, send)
            return put
        self._group.start_soon(_answer, app, scope, inbox.get, send)
        return inbox.put

    def spawn(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """Start a task beside the requests."""
        self._group.start_soon(function, *args)


async def _answer(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    try:
        await app(scope, receive, send)
    except Exception:  # the app's; it must not end the server
        # What is left to answer is answered with 500 by the protocol.
        logger.debug("%s %s was cut short", scope["type"], scope["path"], exc_info=True)
    await send(None)
