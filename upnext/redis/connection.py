"""One socket to the server: open it, introduce yourself, send, receive, give it up."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream
from redis.exceptions import InvalidResponse, RedisError

from upnext.redis.direct import CHUNK, DirectStream, connect_tcp, connect_unix
from upnext.redis.loops import primitives
from upnext.redis.pipeline import Pipeline
from upnext.redis.reading import reading
from upnext.redis.url import Address
from upnext.redis.wire import Command, Parser, pack

Opener = Callable[[Address], Awaitable[ByteStream]]
"""Opens the byte stream to an address."""


LOST = (
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    InvalidResponse,
)
"""What comes out of a connection that is of no use any more."""

PIECE = 1 << 20
"""Bytes sent under one time limit: what is large may take long, as long as it gets on."""

CLOSE_LIMIT = 1.0
"""Seconds that closing a socket may take."""

# Seconds of silence before the kernel probes, between its probes, and how many may be lost.
_PROBES = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))

_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


class Connection:
    """One connection and the roles played on it.

    Attributes:
        number: Which connection of its link this is, from 1.
        pipeline: What was sent and is not answered yet.
        reading: Somebody reads for all. Set and cleared by that caller.
        doubted: Nothing came in time; one more short read decides. Written by whoever reads.
        alive: Something came since the one who reads last looked.
        writing: Somebody writes for all. Set and cleared by that caller.
        gathering: Somebody is about to, when others had a turn to join. As above.
        incoming: How the one who reads waits.
        loop: What the event loop has to offer.
        silent_since: When the server last said something while more was due, or was first asked
            after that.
        retiring: Nothing new may be sent here; it is closed when all is answered.
    """

    def __init__(self, stream: ByteStream, number: int) -> None:
        self.number = number
        self.pipeline = Pipeline()
        self.reading = False
        self.doubted = False
        self.alive = False
        self.writing = False
        self.gathering = False
        self.incoming = reading(stream)
        self.loop = primitives()
        self.silent_since = 0.0
        self.retiring = False
        self._stream = stream
        self._parser = Parser()
        self._socket: socket.socket | None = stream.extra(SocketAttribute.raw_socket, None)
        self._poll = select.poll() if self._socket is not None else None
        self._direct = stream if isinstance(stream, DirectStream) else None
        if self._poll is not None and self._socket is not None:
            self._poll.register(self._socket.fileno(), _GONE)

    def silence_ends(self, timeout: float, keepalive: float) -> float:
        """When the present read should end if nothing comes, on the event loop's clock.

        Silence is measured over all readers, so that callers who come and go cannot keep a dead
        connection alive. Each reader has a moment of its own all the same: what came while
        nobody read is in the socket already.
        """
        now = self.loop.time()
        if not self.pipeline.due:
            return now + keepalive / 2  # of the other half it may have been silent already
        return max(self.silent_since + timeout, now + timeout / 10)

    def expect_within(self, timeout: float) -> None:
        """Replies are due from now on; tell whoever reads already."""
        self.silent_since = self.loop.time()
        self.incoming.set_deadline(self.silent_since + timeout)

    def heard(self, timeout: float, keepalive: float, *, answered: bool) -> None:
        """The server said something: silence counts from now on, for whoever reads on.

        Args:
            timeout: Seconds until more that is due has to come.
            keepalive: Most seconds of silence where nothing is due.
            answered: Replies were due.
        """
        self.doubted = False
        if self.pipeline.unheard:
            self.retiring = True
        if self.retiring:
            self.incoming.look_up()
        elif self.pipeline.due:
            self.expect_within(timeout)
        elif answered:
            self.incoming.set_deadline(self.loop.time() + keepalive / 2)
        else:  # whoever waits will see: to put off the end of that costs each message more
            self.alive = True

    def is_spent(self) -> bool:
        """Nothing may be sent here any more, and nothing is to come."""
        return self.retiring and not self.pipeline.due

    def send_now(self, data: bytes) -> int:
        """Give the kernel what it takes at once, and tell how many bytes that was."""
        return 0 if self._direct is None else self._direct.send_now(data)

    async def send(self, data: bytes) -> None:
        """Send all of it, or fail."""
        await self._stream.send(data)

    async def send_rest(self, data: bytes, start: int, timeout: float) -> bool:
        """Send all from `start` on; False when the server did not take it in time.

        Whatever is raised, some of it may have been sent.

        Args:
            data: Commands of many callers.
            start: How many bytes of them the kernel has.
            timeout: Seconds for each piece.
        """
        for begin in range(start, len(data), PIECE):
            if begin > start:
                self.expect_within(timeout)
            # A shield, because these bytes belong to other callers, too: a send cut in two by one
            # caller's cancellation is the end of the connection. It is bounded, and past the
            # limit that is over anyway.
            with anyio.move_on_after(timeout, shield=True) as limit:
                await self._stream.send(data[begin : begin + PIECE])
            if limit.cancelled_caught:
                return False
        return True

    def receive_now(self) -> bytes | None:
        """What came already; None when nobody can tell without waiting."""
        return None if self._direct is None else self._direct.receive_now()

    async def receive(self) -> bytes:
        """Wait for some bytes. Cancelling this loses nothing."""
        return await self._stream.receive(CHUNK)

    def replies(self, data: bytes) -> Iterator[Any]:
        """Parse received bytes into whole replies and pushes."""
        return self._parser.replies(data)

    def is_gone(self) -> bool:
        """Whether the other side is known to have closed; asks the kernel, never blocks."""
        if self._poll is None or self._socket is None:
            return False
        return self._socket.fileno() < 0 or bool(self._poll.poll(0))

    async def aclose(self) -> None:
        """Close the socket without ceremony; whoever reads or writes on it fails now."""
        self.incoming.close()
        # A shield, because whoever has to close it may itself be cancelled already, and the
        # socket would leak.
        with anyio.move_on_after(CLOSE_LIMIT, shield=True):
            await anyio.aclose_forcefully(self._stream)

    async def introduce(self, address: Address, name: str) -> None:
        """Switch to RESP3, log in, give the connection its name and select the database.

        Raises:
            RedisError: The server refused one of these.
        """
        hello: list[Any] = ["HELLO", 3]
        if address.password is not None:
            hello += ["AUTH", address.username or "default", address.password]
        commands: list[Command] = [[*hello, "SETNAME", name]]
        if address.database:
            commands.append(["SELECT", address.database])
        await self.send(pack(commands))
        outstanding = len(commands)
        while outstanding:
            for reply in self.replies(await self.receive()):
                if isinstance(reply, RedisError):
                    raise reply
                outstanding -= 1


async def open_stream(address: Address) -> ByteStream:
    """Open the socket of an address, with TLS where its URL says so.

    Raises:
        OSError: Nobody listens there, the name is unknown, or the certificate is not trusted.
    """
    if address.path is not None:
        return await connect_unix(address.path)
    host = address.host or "localhost"
    stream = await connect_tcp(host, address.port)
    _probe_when_idle(stream.extra(SocketAttribute.raw_socket))
    if not address.tls:
        return stream
    async with contextlib.AsyncExitStack() as failed:
        failed.push_async_callback(anyio.aclose_forcefully, stream)
        # Every reply says how long it is, so a missing TLS farewell cuts none short unnoticed.
        secure = await TLSStream.wrap(
            stream,
            hostname=host,
            ssl_context=address.tls_context(),
            standard_compatible=False,
        )
        failed.pop_all()
    return secure


def _probe_when_idle(raw: socket.socket) -> None:
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES:
        if hasattr(socket, option):
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
