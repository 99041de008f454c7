"""What Hypercorn's protocols ask of an event loop, on AnyIO."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import anyio
from anyio.abc import TaskGroup
from attrs import define, field
from hypercorn.protocol.events import Event as Said

from upnext.api.bounded import Bounded
from upnext.api.leaving import LEAVING, Leaving
from upnext.api.ports import ASGIApp, Message

logger = logging.getLogger("upnext.api")

MOST_WAITING = 10
"""Parts of a request that its app has not asked for; then the client is held up."""
_LEFT = frozenset(("http.disconnect", "websocket.disconnect"))


class Event:
    """An event that can be cleared."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    async def clear(self) -> None:
        """Make waiters wait again; those that wait still are waiting for this one."""
        if self._event.is_set():
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


class Late(Said):
    """The body of a request does not come: what a stream says to its protocol. HTTP/2 ends the
    stream, and the other protocols know nothing of it."""


@define(eq=False)
class Requests:
    """The requests of one connection: tasks of the connection's group."""

    _group: TaskGroup
    _patience: float
    """Seconds between two parts of a body, in HTTP/2; the connection sees to it otherwise."""
    _holder: int = field(default=0, init=False)
    """The stream whose app did not take what came last, and until when: nothing is read then."""
    _held_until: float = field(default=-math.inf, init=False)

    def held_up(self, stream_id: int, *, since: float) -> bool:
        """Whether the client could not be heard, because of another request than this one.

        He may have said in time that he takes more, or have sent more.
        """
        return self._held_until >= since and self._holder != stream_id

    async def spawn_app(
        self,
        app: ASGIApp,
        config: Any,
        scope: Any,
        send: Callable[[Any], Awaitable[None]],
    ) -> Callable[[Any], Awaitable[None]]:
        """Start the app on a request; returns where to put what the client sends."""
        stream: Any = cast("Any", send).__self__  # it is a method of Hypercorn's streams
        inbox: Bounded[Any] = Bounded(MOST_WAITING)
        leaving, receive = None, inbox.get
        if scope["type"] == "http":
            leaving = scope["extensions"][LEAVING] = Leaving()
            if scope["http_version"] == "2":
                receive = _Body(self, stream, inbox, self._patience).receive

        async def put(message: Message) -> None:
            if message["type"] in _LEFT:
                if leaving is None or not leaving.leave():
                    inbox.put_last(message)
            elif inbox.full:
                self._holder, self._held_until = stream.stream_id, math.inf
                try:
                    await inbox.put(message)
                finally:
                    self._held_until = anyio.current_time()
            else:
                await inbox.put(message)

        self._group.start_soon(_answer, app, scope, receive, send)
        return put

    def spawn(self, function: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        """Start a task beside the requests."""
        self._group.start_soon(function, *args)


@define(eq=False)
class _Body:
    """Hands an app what its client sends; a body that does not come ends the request."""

    _requests: Requests
    _stream: Any
    _inbox: Bounded[Any]
    _patience: float
    _complete: bool = field(default=False, init=False)

    async def receive(self) -> Message:
        """What the client sent next."""
        while not (self._complete or self._inbox.filled):
            began = anyio.current_time()
            with anyio.move_on_after(self._patience):
                return await self._get()
            stream_id = self._stream.stream_id
            if not self._requests.held_up(stream_id, since=began):
                logger.info("a body does not come; its request is ended")
                self._complete = True
                await self._stream.send(Late(stream_id))
        return await self._get()

    async def _get(self) -> Message:
        message = await self._inbox.get()
        self._complete = not message.get("more_body", False)
        return message


async def _answer(app: ASGIApp, scope: Any, receive: Any, send: Any) -> None:
    try:
        await app(scope, receive, send)
    except Exception:  # the app's; it must not end the server
        # What is left to answer is answered with 500 by the protocol.
        logger.debug("%s %s was cut short", scope["type"], scope["path"], exc_info=True)
    await send(None)
