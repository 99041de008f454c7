"""Requests that are still open when an API's time is over: they are told so."""

from __future__ import annotations

from math import inf

import anyio
from attrs import define, field

from upnext.api.ports import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Ending"]

_BODY = b'{"detail":"the server is stopping"}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"connection", b"close"),
]


@define(eq=False)
class Ending:
    """Owns the scopes of an API's open requests."""

    _deadline: float = field(default=inf, init=False)
    _open: set[anyio.CancelScope] = field(factory=set[anyio.CancelScope], init=False)

    def begin(self, seconds: float) -> None:
        """Give the open requests so long; those whose answer has not begun then get 503."""
        self._deadline = anyio.current_time() + seconds
        for scope in self._open:
            scope.deadline = self._deadline

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Put a limit around each request."""

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            begun = False

            async def passing(message: Message) -> None:
                nonlocal begun
                begun = True
                await send(message)

            with anyio.CancelScope(deadline=self._deadline) as limit:
                self._open.add(limit)
                try:
                    await app(scope, receive, passing)
                finally:
                    self._open.discard(limit)
            if not limit.cancelled_caught:
                return
            if begun:
                raise TimeoutError("the server is stopping")  # the client sees it cut short
            await send({"type": "http.response.start", "status": 503, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _BODY, "more_body": False})

        return limited
