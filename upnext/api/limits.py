"""The limit on request bodies, for apps that have none of their own."""

from __future__ import annotations

from attrs import define

from upnext.api.ports import ASGIApp, Message, Receive, Scope, Send

TOO_LARGE = 413


class BodyTooLargeError(Exception):
    """A client sent more than is allowed."""


def limited(app: ASGIApp, most: int) -> ASGIApp:
    """An app that is told of no more than `most` bytes of a request's body.

    A request that names a longer body is refused; one that turns out to be longer ends in
    `BodyTooLargeError` where the app reads it, and is refused unless the app answered already.
    """

    async def limit(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > most:
                await refuse(send, most)
                return
        counted = _Counted(receive, send, most)
        try:
            await app(scope, counted.receive, counted.send)
        except BodyTooLargeError:
            if counted.begun:
                raise
            await refuse(send, most)

    return limit


@define(eq=False)
class _Counted:
    _receive: Receive
    _send: Send
    left: int
    begun: bool = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.left -= len(message.get("body", b""))
            if self.left < 0:
                raise BodyTooLargeError
        return message

    async def send(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


async def refuse(send: Send, most: int) -> None:
    """Answer that a body is too large."""
    body = b'{"detail":"the body is larger than %d bytes"}' % most
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": TOO_LARGE, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
