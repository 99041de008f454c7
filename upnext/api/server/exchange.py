"""One request of HTTP/1.1 and its answer, as its app sees them."""

from __future__ import annotations

import logging
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from upnext.api.leaving import Leaving
from upnext.api.ports import ASGIApp, Message, Scope
from upnext.api.server.context import MOST_WAITING
from upnext.api.server.heads import CONTINUE, BadAnswerError, Head, head_of

logger = logging.getLogger("upnext.api")


class Send(Protocol):
    """Sends bytes to the client."""

    async def __call__(self, data: bytes, *, at_once: bool) -> None:
        """Send them; `at_once`: past the others' turns."""
        ...


class Line(Protocol):
    """The connection that a request came over."""

    @property
    def send(self) -> Send:
        """Sends bytes to the client."""
        ...

    async def answered(self, exchange: Exchange) -> None:
        """Go on to the next request, or close."""
        ...

    def taken(self) -> None:
        """Go on reading, if there was no room for more."""
        ...


@define(eq=False)
class Exchange(Leaving):
    """Passes a request's body to its app, and the app's answer to the client.

    Once the answer is complete, or the client left, the app hears that the client is gone.
    """

    _line: Line
    last: bool
    """Whether the connection ends behind it."""
    _http11: bool
    _expects: bool
    """Whether the client waits to be told to send the body."""
    _asks_head: bool
    """Whether the client asks for the head alone."""
    complete: bool = field(default=False, init=False)
    """Whether all of the request is here."""
    begun: bool = field(default=False, init=False)
    """Whether something of the answer may have reached the client."""
    _over: bool = field(default=False, init=False)
    _head: Head | None = field(default=None, init=False)
    _held: bytes = field(default=b"", init=False)
    _left: int | None = field(default=None, init=False)
    """Bytes of the answer that are still due, if that is known."""
    _parts: list[Message] = field(factory=list[Message], init=False)
    """What waits for the app: a few at most, and one nearly always. A deque has room for 64."""
    _changed: anyio.Event | None = field(default=None, init=False)

    @property
    def full(self) -> bool:
        """Whether as much waits for the app as may."""
        return len(self._parts) >= MOST_WAITING and not self.gone

    def put(self, body: bytes) -> None:
        """Pass on a part of the body; the last one, if it is complete."""
        self._parts.append({"type": "http.request", "body": body, "more_body": not self.complete})
        if self._changed is not None:
            self._tell()

    def leave(self) -> bool:
        """Tell the app that its client is gone."""
        self._tell()
        return Leaving.leave(self)

    def forsake(self) -> None:
        """Tell the app that its client is gone, and send nothing more."""
        self._line = _Nowhere()
        self.leave()

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Have the request answered."""
        try:
            if self._expects and not self.complete:
                await self._line.send(CONTINUE, at_once=True)
            await app(scope, self.receive, self.send)
        except Exception:  # the app's; it must not end the server
            logger.debug("http %s was cut short", scope["path"], exc_info=True)
        if not self._over:
            await self._cut_short()

    async def receive(self) -> Message:
        """What the client sent next."""
        while not self._parts:
            if self.gone:
                return {"type": "http.disconnect"}
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()
        message = self._parts.pop(0)
        if message["more_body"]:
            self._line.taken()
        return message

    async def send(self, message: Message) -> None:
        """Send the next part of the answer.

        Raises:
            BadAnswerError: it cannot be sent; the connection ends then.
        """
        kind, head = message["type"], self._head
        if head is None and kind == "http.response.start":
            self._head = head = head_of(
                message["status"],
                message.get("headers", ()),
                asked_head=self._asks_head,
                http11=self._http11,
                close=self.last,
            )
            self.last = head.close
            self._left = head.length
            if head.length is None:
                self.begun = True
                await self._line.send(head.data, at_once=True)
            else:  # it travels with the first bytes of the body
                self._held = head.data
        elif head is not None and kind == "http.response.body" and not self._over:
            await self._send_body(
                head, bytes(message.get("body", b"")), message.get("more_body", False)
            )
        else:
            raise BadAnswerError(f"{kind} is not what comes next in an answer")

    async def _send_body(self, head: Head, data: bytes, more: bool) -> None:
        if head.bodiless:
            data = b""
        elif head.chunked:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if not more:
                data += b"0\r\n\r\n"
        elif self._left is not None:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                what = "longer" if self._left < 0 else "shorter"
                self._left = 0  # nothing more may pass for its body
                await self._cut_short()
                raise BadAnswerError(f"the answer is {what} than its content-length")
        if self._held and (data or not more):
            data, self._held = self._held + data, b""
            self.begun = True
            await self._line.send(data, at_once=True)
        elif data:
            if self.gone:
                await checkpoint()  # where nobody takes anything, it takes no time
            await self._line.send(data, at_once=False)
        if not more:
            await self._end()

    async def _cut_short(self) -> None:
        """End the answer where it is; a client that saw nothing of it yet is sent a 500."""
        self.last = True
        if not (self.begun or self.gone):
            headers = [(b"content-length", b"0")]
            self.begun, self._held = True, b""
            await self._line.send(head_of(500, headers, close=True).data, at_once=True)
        await self._end()

    async def _end(self) -> None:
        self._over = self.gone = True
        if self._changed is not None:
            self._tell()
        await self._line.answered(self)

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class _Nowhere:
    """What is left of a connection to a request that was refused when it had begun."""

    async def send(self, data: bytes, *, at_once: bool) -> None:
        await checkpoint()

    async def answered(self, exchange: Exchange) -> None:
        pass

    def taken(self) -> None:
        pass
