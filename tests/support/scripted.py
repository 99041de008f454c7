"""A server without a socket: it answers from a script, at once or when told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import hiredis
from anyio.abc import ByteStream
from anyio.lowlevel import checkpoint

from upnext.redis.link import Link
from upnext.redis.url import Address

Answer = Callable[[list[bytes]], bytes | None]


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(value), value)


def push(*parts: bytes) -> bytes:
    return b">%d\r\n" % len(parts) + b"".join(map(bulk, parts))


def echo(words: list[bytes]) -> bytes | None:
    """PING and ECHO as a server has them; (UN)SUBSCRIBE confirmed by a push."""
    match [words[0].upper(), *words[1:]]:
        case [b"HELLO", *_]:
            return b"%1\r\n+proto\r\n:3\r\n"
        case [b"ECHO", value]:
            return bulk(value)
        case [(b"SUBSCRIBE" | b"UNSUBSCRIBE") as kind, channel]:
            return b">3\r\n" + bulk(kind.lower()) + bulk(channel) + b":1\r\n"
        case [b"PUBLISH", channel, payload]:
            return push(b"message", channel, payload) + b":1\r\n"
        case [b"FAIL", text]:
            return b"-" + text + b"\r\n"
        case _:
            return b"+PONG\r\n"


class ScriptedStream(ByteStream):
    """One connection to the scripted server."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self._commands = hiredis.Reader(notEnoughData=Ellipsis)
        self._incoming = bytearray()
        self._held = bytearray()
        self._news = anyio.Event()
        self._ended = False
        self._closed = False

    async def send(self, item: bytes) -> None:
        await checkpoint()
        if self._server.sends_block:
            await anyio.sleep_forever()
        if self._closed:
            raise anyio.ClosedResourceError
        if self._ended:
            raise anyio.BrokenResourceError
        self._server.writes.append(item)
        self._commands.feed(item)
        while (words := self._commands.gets()) is not Ellipsis:
            self._server.commands.append(words)
            answer = self._server.answer(words)
            if answer is not None:
                self._held += answer
        if not self._server.holds or self._server.commands[-1][0] == b"HELLO":
            self.release()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await checkpoint()
        while not self._incoming:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._ended:
                raise anyio.EndOfStream
            self._news = anyio.Event()
            await self._news.wait()
        chunk = bytes(self._incoming[:max_bytes])
        del self._incoming[:max_bytes]
        return chunk

    async def aclose(self) -> None:
        self._closed = True
        self._news.set()
        await checkpoint()

    async def send_eof(self) -> None:
        raise NotImplementedError

    def put(self, data: bytes) -> None:
        """Let the client read this."""
        self._incoming += data
        self._news.set()

    def release(self) -> None:
        """Let the client read what was held back."""
        held, self._held = bytes(self._held), bytearray()
        self.put(held)

    def end(self) -> None:
        """Close the connection from the server's side."""
        self._ended = True
        self._news.set()

    @property
    def closed(self) -> bool:
        return self._closed


class ScriptedServer:
    """Owns the script and all its connections.

    Attributes:
        answer: Turns a command into the bytes of its reply; None for no reply.
        holds: Replies are held back until ``release`` (HELLO is answered all the same).
        sends_block: The client's writes never end.
        refuses: The next so many attempts to connect fail.
        writes: What arrived in one piece each.
        commands: All commands in order.
        streams: All connections in order.
    """

    def __init__(self, answer: Answer = echo) -> None:
        self.answer = answer
        self.holds = False
        self.sends_block = False
        self.refuses = 0
        self.attempts = 0
        self.writes: list[bytes] = []
        self.commands: list[list[bytes]] = []
        self.streams: list[ScriptedStream] = []

    async def open(self, address: Address) -> ByteStream:
        self.attempts += 1
        await checkpoint()
        if self.refuses:
            self.refuses -= 1
            raise ConnectionRefusedError("refused")
        self.streams.append(ScriptedStream(self))
        return self.streams[-1]

    @property
    def stream(self) -> ScriptedStream:
        """The newest connection."""
        return self.streams[-1]

    def names(self) -> list[str]:
        """The commands' first words, without the introduction."""
        return [w[0].decode() for w in self.commands if w[0] != b"HELLO"]

    def link(self, **options: Any) -> Link:
        return Link(Address.parse("redis://scripted:1"), opener=self.open, **options)
