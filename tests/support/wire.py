"""A client's end of a connection in memory, and the two servers that may be at the other one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import anyio
import h11
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint
from attrs import define, field

from upnext.api.ports import ASGIApp
from upnext.api.serve import server_config
from upnext.api.server.connection import Connection
from upnext.api.server.context import Context
from upnext.api.server.switched import Switched


@define(eq=False, slots=False)
class Wire:
    """What a client sends, piece by piece, and what he is sent."""

    pieces: list[bytes]
    sent: bytearray = field(factory=bytearray, init=False)
    closed: bool = field(default=False, init=False)
    """Whether the server will send no more."""
    _over: bool = field(default=False, init=False)
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    def add(self, piece: bytes) -> None:
        """Let the client send one more piece."""
        self.pieces.append(piece)
        self._changed.set()

    def end(self) -> None:
        """Let the client leave behind his last piece; he does when the server closes."""
        self._over = True
        self._changed.set()

    def extra(self, attribute: Any, default: Any = ("there", 1)) -> Any:
        return default

    async def receive(self, most: int = 1 << 16) -> bytes:
        await checkpoint()
        while not self.pieces:
            if self._over:
                raise anyio.EndOfStream
            self._changed = anyio.Event()
            await self._changed.wait()
        return self.pieces.pop(0)

    async def send(self, data: bytes) -> None:
        await checkpoint()
        if self.closed:
            raise anyio.BrokenResourceError
        self.sent += data

    async def send_eof(self) -> None:
        self.closed = True
        self.end()

    async def aclose(self) -> None:
        await self.send_eof()


Serve = Callable[[ASGIApp, Wire], Awaitable[None]]


async def by_llhttp(app: ASGIApp, wire: Wire) -> None:
    """Serve the client as the product does."""
    stream = cast("SocketStream", wire)
    await Connection(app, server_config(), Context(), {}, stream).run()


async def by_h11(app: ASGIApp, wire: Wire) -> None:
    """Serve the client by what Hypercorn makes of HTTP/1.1."""
    async with anyio.create_task_group() as group:
        address = ("there", 1)
        end = _End(wire)
        served = Switched(
            app, server_config(), Context(), {}, address, address, end, group, 30.0, 30.0
        )
        while not wire.closed:
            try:
                data = await wire.receive()
            except anyio.EndOfStream:
                break
            await served.take(data)
        await served.leave()


@define
class _End:
    wire: Wire

    async def send(self, data: bytes, *, at_once: bool) -> None:
        if not self.wire.closed:
            await self.wire.send(data)

    async def close(self, *, linger: bool) -> None:
        await self.wire.send_eof()

    def busy(self) -> None:
        pass

    def rest(self) -> None:
        pass


Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def answers_in(sent: bytes, methods: Sequence[str], *, closed: bool = True) -> list[Answer]:
    """The answers to requests with these methods; an answer that is cut short is none."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(sent)
    if closed:
        client.receive_data(b"")
    answers: list[Answer] = []
    for method in methods:
        if client.our_state is h11.DONE:
            if client.their_state is not h11.DONE:
                break
            client.start_next_cycle()
        if client.our_state is not h11.IDLE:
            break
        client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        body, head = bytearray(), None
        try:
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                    return answers
                if isinstance(event, h11.Response):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
        except h11.RemoteProtocolError:
            break
        assert head is not None
        headers = sorted((n, v) for n, v in head.headers if n != b"date")
        answers.append((head.status_code, headers, bytes(body)))
    return answers
