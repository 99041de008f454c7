"""A socket that is asked itself before anybody waits for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from errno import EINPROGRESS, EWOULDBLOCK
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint

from upnext.redis.loops import primitives

ADDRESS_PATIENCE = 1.0
"""Seconds for one of several addresses of a host to answer."""

CHUNK = 65536
"""Bytes to take from the socket at once."""


class DirectStream(ByteStream):
    """A connected socket, read and written by this process's own calls.

    AnyIO's streams hand a socket to the event loop: on asyncio each read registers it and takes
    it out again, though what is read is mostly there already. And a reader that is cancelled in
    the turn in which something arrives leaves that in the stream, or an InvalidStateError in the
    log. Here nothing is read unless somebody takes it, so readers may be cancelled all day.

    Args:
        raw: Connected, non-blocking; belongs to the stream from now on.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {
            SocketAttribute.family: lambda: self._raw.family,
            SocketAttribute.local_address: self._raw.getsockname,
            SocketAttribute.raw_socket: lambda: self._raw,
            SocketAttribute.remote_address: self._raw.getpeername,
        }

    def fileno(self) -> int:
        """Which socket it is, for whoever watches it; -1 once it is closed."""
        return self._raw.fileno()

    def receive_now(self, max_bytes: int = CHUNK) -> bytes | None:
        """What came already; None when there is nothing.

        Raises:
            anyio.EndOfStream: The other side will say no more.
            anyio.BrokenResourceError: The connection is lost.
            anyio.ClosedResourceError: The stream was closed.
        """
        try:
            data = self._raw.recv(max_bytes)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise self._end(error) from error
        if not data:
            raise anyio.EndOfStream
        return data

    def send_now(self, data: bytes | memoryview) -> int:
        """Give the kernel what it takes at once, and tell how many bytes that was.

        Raises:
            anyio.BrokenResourceError: The connection is lost.
            anyio.ClosedResourceError: The stream was closed.
        """
        try:
            return self._raw.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise self._end(error) from error

    async def receive(self, max_bytes: int = CHUNK) -> bytes:
        """Wait for some bytes. Cancelling this loses nothing."""
        await checkpoint()
        while (data := self.receive_now(max_bytes)) is None:
            await self.readable()
        return data

    async def readable(self) -> None:
        """Wait until there is something to receive, if only the end.

        Raises:
            anyio.ClosedResourceError: The stream was closed, be it meanwhile.
        """
        try:
            await primitives().readable(self._raw)
        except Exception as error:  # each loop has a class of its own for that
            if self._raw.fileno() < 0:
                raise anyio.ClosedResourceError from error
            raise

    async def send(self, item: bytes) -> None:
        """Send all of it. Cancelled, it has sent some of it."""
        await checkpoint()
        left = memoryview(item)
        while sent := self.send_now(left) if left else 0:
            left = left[sent:]
        while left:
            await anyio.wait_writable(self._raw)
            left = left[self.send_now(left) :]

    async def send_eof(self) -> None:
        """Say that no more comes."""
        self._raw.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close the socket; whoever waits for it gets a ClosedResourceError."""
        if self._raw.fileno() >= 0:
            anyio.notify_closing(self._raw)
            self._raw.close()
        await checkpoint()

    def _end(self, error: OSError) -> Exception:
        if self._raw.fileno() < 0:
            return anyio.ClosedResourceError()
        return anyio.BrokenResourceError(str(error))


async def connect_tcp(host: str, port: int) -> DirectStream:
    """Connect to the first address of a host that answers.

    Raises:
        OSError: The name is unknown, or none of its addresses answers.
    """
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for i, (family, kind, protocol, _name, address) in enumerate(found):
        # One that is silent must not use up the time of those behind it.
        with anyio.move_on_after(ADDRESS_PATIENCE if i < len(found) - 1 else None):
            try:
                return await _connect(socket.socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
    raise failure or TimeoutError(f"no address of {host} answers")


async def connect_unix(path: str) -> DirectStream:
    """Connect to a socket in the file system.

    Raises:
        OSError: Nobody listens there.
    """
    return await _connect(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)


async def _connect(raw: socket.socket, address: Any) -> DirectStream:
    try:
        raw.setblocking(False)
        code = raw.connect_ex(address)
        if code in (EINPROGRESS, EWOULDBLOCK) and raw.family != getattr(socket, "AF_UNIX", None):
            await anyio.wait_writable(raw)
            code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:  # whatever it was, nobody else would close it
        anyio.notify_closing(raw)
        raw.close()
        raise
    return DirectStream(raw)
