"""One client's connection: from its bytes to requests and back."""

from __future__ import annotations

import logging
import math
import os
from typing import Any, cast

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream
from attrs import define, field
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.typing import ConnectionState

from upnext.api.ports import ASGIApp
from upnext.api.server.context import Context, Requests

logger = logging.getLogger("upnext.api")

MOST_READ = 1 << 16
MOST_READ_IDLE = 1 << 14
"""Of headers, whose limit h11 looks at only between two reads."""
BODY_PATIENCE = 30.0
"""Seconds between two parts of a request's body."""
SEND_PATIENCE = 30.0
"""Seconds in which a client must take what is sent to it."""
LINGER = 1.0
"""Seconds to hear out a client whose request was answered before it was read: closed at once,
the answer would be lost."""
_ANSWER, _LENGTH = b"HTTP/1.1 ", b"\r\ncontent-length: "
_POSIX = os.name == "posix"
"""Whether a socket is a file."""
_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


@define(eq=False)
class Connection:
    """Reads a client's bytes, and ends when he leaves, idles too long, or is too slow.

    Its requests are tasks of its group; cancelling it cancels them.
    """

    app: ASGIApp
    config: Config
    context: Context
    state: dict[str, Any]
    stream: SocketStream
    idle: bool = field(default=True, init=False)
    """Whether no request of it is under way."""
    _closing: bool = field(default=False, init=False)
    _reading: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _writing: bool = field(default=False, init=False)
    _written: anyio.Event | None = field(default=None, init=False)
    """Set after the write under way, if somebody else waits to write."""
    _unsent: bool = field(default=False, init=False)
    """Whether bytes may wait in the stream's own buffer."""
    _held: bytes = field(default=b"", init=False)
    _protocol: Any = field(default=None, init=False)
    _socket: Any = field(init=False)

    @_socket.default
    def _raw_socket(self) -> Any:
        return self.stream.extra(SocketAttribute.raw_socket, None) if _POSIX else None

    async def run(self) -> None:
        """Serve the client."""
        try:
            async with anyio.create_task_group() as group:
                self._protocol = ProtocolWrapper(
                    cast("Any", self.app),
                    self.config,
                    cast("Any", self.context),
                    cast("Any", Requests(group)),
                    ConnectionState(cast("Any", self.state)),
                    False,
                    _address(self.stream, SocketAttribute.remote_address),
                    _address(self.stream, SocketAttribute.local_address),
                    self._send,
                    "http/1.1",
                )
                await self._protocol.initiate()
                await self._read()
                await self._protocol.handle(Closed())
        except Exception:  # one client's; the others know nothing of it
            logger.exception("a connection failed")
        finally:
            await anyio.aclose_forcefully(self.stream)

    def end_if_idle(self) -> None:
        """Close the connection now unless a request is under way; then it closes behind that."""
        if self.idle:
            self._reading.cancel()

    async def _read(self) -> None:
        self._be_idle()
        with self._reading:
            while True:
                try:
                    data = await self.stream.receive(MOST_READ_IDLE if self.idle else MOST_READ)
                except (anyio.EndOfStream, *_GONE):
                    return
                if self._closing:
                    continue
                await self._protocol.handle(RawData(data))
                if self.idle or self._closing:
                    continue
                if self._expects_body():
                    self._reading.deadline = anyio.current_time() + BODY_PATIENCE
                elif self._reading.deadline != math.inf:
                    self._reading.deadline = math.inf

    async def _send(self, event: Any) -> None:
        if isinstance(event, RawData):
            data = event.data
            # The headers of an answer of known length travel with its first bytes.
            if self._held:
                data, self._held = self._held + data, b""
                written = self._write_now(data)
                if written < len(data):
                    await self._write(data[written:])
            elif data.startswith(_ANSWER) and _LENGTH in data:
                self._held = data
            elif data:
                await self._write(data)
        elif isinstance(event, Updated):
            if event.idle:
                self._be_idle()
            else:
                self.idle = False
                self._reading.deadline = math.inf
        elif isinstance(event, Closed):
            await self._close()

    def _write_now(self, data: bytes) -> int:
        """Give the kernel what it takes at once, past the stream, and tell how many bytes it took.

        Spares a scope and a turn of the event loop, once for each answer: whoever goes on sending
        takes its turns. An error shows when the stream is used next.
        """
        if self._writing or self._unsent or self._socket is None:
            return 0
        try:
            return os.write(self._socket.fileno(), data)
        except OSError:
            return 0

    async def _write(self, data: bytes) -> None:
        while self._writing:
            if self._written is None:
                self._written = anyio.Event()
            await self._written.wait()
        self._writing = self._unsent = True
        try:
            with anyio.move_on_after(SEND_PATIENCE) as slow:
                await self.stream.send(data)
            if not slow.cancelled_caught:
                self._unsent = False
                return
            logger.info("a client takes what it asked for too slowly; dropped")
        except _GONE:
            pass
        finally:
            self._writing = False
            if self._written is not None:
                self._written.set()
                self._written = None
        self._reading.cancel()
        await self._protocol.handle(Closed())

    async def _close(self) -> None:
        self._closing = True
        if self._expects_body():
            try:
                await self.stream.send_eof()
            except _GONE:
                pass
            else:
                self._reading.deadline = anyio.current_time() + LINGER
                return
        self._reading.cancel()

    def _be_idle(self) -> None:
        self.idle = True
        self._reading.deadline = anyio.current_time() + self.config.keep_alive_timeout
        if self.context.terminated.is_set():
            self._reading.cancel()

    def _expects_body(self) -> bool:
        connection = getattr(self._protocol.protocol, "connection", None)
        return getattr(connection, "their_state", None) in (h11.SEND_BODY, h11.ERROR)


def _address(stream: SocketStream, attribute: Any) -> tuple[str, int] | None:
    try:
        address = stream.extra(attribute)
    except (anyio.TypedAttributeLookupError, OSError):
        return None
    if not isinstance(address, tuple):
        return None
    host, port = cast("tuple[Any, ...]", address)[:2]
    return str(host), int(port)
