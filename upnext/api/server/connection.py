"""One client's connection: its socket, and how long he may take."""

from __future__ import annotations

import logging
import math
import os
from time import monotonic
from typing import Any, cast

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from attrs import define, field
from hypercorn.config import Config

from upnext.api.ports import ASGIApp
from upnext.api.server.context import Context
from upnext.api.server.heads import head_of
from upnext.api.server.http1 import Http1
from upnext.api.server.switched import PREFACE, Switched

logger = logging.getLogger("upnext.api")

MOST_READ = 1 << 16
MOST_READ_HEADS = 1 << 14
"""Of headers, whose limit is looked at only between two reads; and of requests that wait."""
BODY_PATIENCE = 30.0
"""Seconds between two parts of a request's body."""
SEND_PATIENCE = 30.0
"""Seconds in which a client must take each piece of what is sent to it."""
PIECE = 1 << 18
"""Bytes of a piece: what is large may take long, as long as it gets on."""
LINGER = 1.0
"""Seconds to hear out a client whose request was answered before it was read: closed at once,
the answer would be lost."""
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
    _ended: bool = field(default=False, init=False)
    _due: float = field(default=math.inf, init=False)
    """When the client has taken too long, by the monotonic clock."""
    _armed: float = field(default=math.inf, init=False)
    """When that is looked at."""
    _reading: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _writing: bool = field(default=False, init=False)
    _written: anyio.Event | None = field(default=None, init=False)
    """Set after the write under way, if somebody else waits to write."""
    _unsent: bool = field(default=False, init=False)
    """Whether bytes may wait in the stream's own buffer."""
    _group: TaskGroup = field(init=False)
    _http: Http1 | None = field(default=None, init=False)
    _switched: Switched | None = field(default=None, init=False)
    _first: bytes | None = field(default=b"", init=False)
    """What came, as long as it may be HTTP/2; None: it is not."""
    _socket: Any = field(init=False)

    @_socket.default
    def _raw_socket(self) -> Any:
        return self.stream.extra(SocketAttribute.raw_socket, None) if _POSIX else None

    async def run(self) -> None:
        """Serve the client."""
        try:
            async with anyio.create_task_group() as self._group:
                self._http = Http1(
                    self.app, self.config, self.state, *self._ends(), self, self._group
                )
                if not self.context.terminated.is_set():
                    self.rest()
                    await self._read(self._http)
                await self._leave()
        except Exception:  # one client's; the others know nothing of it
            logger.exception("a connection failed")
        finally:
            self._http = self._switched = None  # which refer to this
            await anyio.aclose_forcefully(self.stream)

    def end_if_idle(self) -> None:
        """Close the connection now unless a request is under way; then it closes behind that."""
        if self.idle:
            self._end()
        elif self._http is not None:
            self._http.stopping = True

    def busy(self) -> None:
        """Have patience: a request is under way."""
        self.idle = False
        self._wait_until(math.inf)

    def rest(self) -> None:
        """Wait for the next request; not for long."""
        self.idle = True
        self._wait_until(monotonic() + self.config.keep_alive_timeout)

    async def close(self, *, linger: bool) -> None:
        """Send no more, and read no more; `linger`: only after hearing the client out."""
        self._closing = True
        if linger:
            try:
                await self.stream.send_eof()
            except _GONE:
                pass
            else:
                self._wait_until(monotonic() + LINGER)
                return
        self._end()

    async def send(self, data: bytes, *, at_once: bool) -> None:
        """Send bytes to the client.

        Args:
            data: The bytes.
            at_once: Give the kernel what it takes at once, past the stream. Spares a scope and a
                turn of the event loop, once for each answer: whoever goes on sending takes his
                turns.
        """
        if at_once and not (self._writing or self._unsent or self._socket is None):
            try:
                written = os.write(self._socket.fileno(), data)
            except OSError:  # an error shows when the stream is used next
                written = 0
            if written == len(data):
                return
            await self._write(data, written)
        else:
            await self._write(data)

    async def _read(self, http: Http1) -> None:
        """Read until the client leaves or is due.

        When he is due changes twice with each request, and it costs much to move a deadline. So
        one that is over is looked at again.
        """
        while not self._ended:
            deadline = anyio.current_time() + self._due - monotonic()
            with anyio.CancelScope(deadline=deadline) as self._reading:
                self._armed = self._due
                await self._hear(http)
                return
            if self._due <= monotonic():
                return

    async def _hear(self, http: Http1) -> None:
        while True:
            if http.stuck and self._switched is None and not self._closing:
                await self._settle(http)
                continue
            try:
                data = await self.stream.receive(
                    MOST_READ_HEADS
                    if http.incoming is None and self._switched is None
                    else MOST_READ
                )
            except (anyio.EndOfStream, *_GONE):
                return
            if self._closing:
                continue
            if self._first is not None:
                self._first = data = self._first + data
                if data.startswith(PREFACE):
                    self._first = None
                    await self._switch(data)
                    continue
                if PREFACE.startswith(data):
                    continue
                self._first = None
            if self._switched is not None:
                await self._switched.take(data)
            else:
                http.take(data)
            if not (self.idle or self._closing):
                self._watch_body(http)

    async def _settle(self, http: Http1) -> None:
        """Do what is to be done before more is read."""
        if http.current is not None:
            self._wait_until(math.inf)
            await http.room()
            self._watch_body(http)
        if http.switching is not None:
            data, http.switching = http.switching, None
            await self._switch(data)
        elif http.refusal is not None:
            status, http.refusal = http.refusal, None
            if status:
                head = head_of(status, [(b"content-length", b"0")], close=True)
                await self.send(head.data, at_once=True)
            await self.close(linger=True)

    def _watch_body(self, http: Http1) -> None:
        if self._switched is not None:
            expects = self._switched.expects_body
        else:
            expects = http.current is not None and not http.current.complete
        if expects:
            self._wait_until(monotonic() + BODY_PATIENCE)
        elif self._due != math.inf:
            self._wait_until(math.inf)

    async def _switch(self, data: bytes) -> None:
        self._switched = Switched(
            self.app,
            self.config,
            self.context,
            self.state,
            *self._ends(),
            self,
            self._group,
            BODY_PATIENCE,
            SEND_PATIENCE,
        )
        await self._switched.take(data)

    async def _leave(self) -> None:
        if self._switched is not None:
            await self._switched.leave()
        elif self._http is not None:
            self._http.leave()

    def _wait_until(self, due: float) -> None:
        self._due = due
        # What is switched cannot go on where it was interrupted.
        if due < self._armed or self._switched is not None:
            self._armed = due
            self._reading.deadline = anyio.current_time() + due - monotonic()

    def _end(self) -> None:
        self._ended = True
        self._reading.cancel()

    async def _write(self, data: bytes, start: int = 0) -> None:
        """Send the bytes from `start` on, in pieces that each have their time."""
        while self._writing:
            if self._written is None:
                self._written = anyio.Event()
            await self._written.wait()
        self._writing = self._unsent = True
        try:
            for begin in range(start, len(data), PIECE):
                with anyio.move_on_after(SEND_PATIENCE) as slow:
                    await self.stream.send(data[begin : begin + PIECE])
                if slow.cancelled_caught:
                    logger.info("a client takes what it asked for too slowly; dropped")
                    break
            else:
                self._unsent = False
                return
        except _GONE:
            pass
        finally:
            self._writing = False
            if self._written is not None:
                self._written.set()
                self._written = None
        self._end()
        await self._leave()

    def _ends(self) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
        """The addresses of the client and of the server."""
        return (
            _address(self.stream, SocketAttribute.remote_address),
            _address(self.stream, SocketAttribute.local_address),
        )


def _address(stream: SocketStream, attribute: Any) -> tuple[str, int] | None:
    try:
        address = stream.extra(attribute)
    except (anyio.TypedAttributeLookupError, OSError):
        return None
    if not isinstance(address, tuple):
        return None
    host, port = cast("tuple[Any, ...]", address)[:2]
    return str(host), int(port)
