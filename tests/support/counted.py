"""An ASGI server's side of requests, for what stands between it and an application."""

from __future__ import annotations

from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from upnext.api.tracking.book import Book
from upnext.api.tracking.middleware import Middleware
from upnext.api.tracking.ports import ASGIApp, Message, Receive, Scope, Send
from upnext.model.traffic import Sighting
from upnext.settings import ApiTrackingSettings


class Server:
    """The other side of ASGI."""

    def __init__(self, app: ASGIApp, *, normalize: bool = True) -> None:
        self.book = Book(ApiTrackingSettings())
        self.sent: list[Message] = []
        self.incoming: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        self.is_gone = False
        self.app = Middleware(app, self.book, anyio.current_time, normalize=normalize)

    async def request(self, path: str = "/orders/7", method: str = "GET", **scope: Any) -> None:
        await self.app(
            {"type": "http", "path": path, "method": method, **scope}, self.receive, self.send
        )

    async def noted(self, *args: Any, **scope: Any) -> Sighting:
        """Make a request, and give what was noted of it."""
        await self.request(*args, **scope)
        return self.note()

    def note(self) -> Sighting:
        [one] = self.book.take_sightings(10)
        return one

    def counted(self) -> dict[str, int]:
        return {name: tally.requests for name, tally in self.book.take().items()}

    async def receive(self) -> Message:
        await checkpoint()
        return self.incoming.pop(0) if self.incoming else {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await checkpoint()
        if self.is_gone:
            raise ConnectionResetError("gone")
        self.sent.append(message)


async def start(send: Send, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})


async def answer(send: Send, status: int = 200) -> None:
    await start(send, status)
    await send({"type": "http.response.body", "body": b"x"})


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    scope["upnext.route"] = "/orders/{id}"
    await receive()
    await answer(send)
