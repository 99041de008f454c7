"""A unix socket whose reader may be cancelled at any moment."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, cast

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint


class UnixStream(ByteStream):
    """Reads a unix socket by waiting until it is readable.

    AnyIO's own stream waits on asyncio for a future that the event loop fulfils. When the reader
    is cancelled in the same turn in which something arrives, the loop logs an InvalidStateError
    ("Exception in callback"). Nothing is lost by it, but readers of a link are cancelled all day.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._socket: socket.socket = stream.extra(SocketAttribute.raw_socket)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return cast("Mapping[Any, Callable[[], Any]]", self._stream.extra_attributes)  # pyright: ignore[reportUnknownMemberType]

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await checkpoint()
        while True:
            try:
                data = self._socket.recv(max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
            except OSError as error:
                if self._socket.fileno() < 0:
                    raise anyio.ClosedResourceError from None
                raise anyio.BrokenResourceError from error
            else:
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes) -> None:
        await self._stream.send(item)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        if self._socket.fileno() >= 0:
            anyio.notify_closing(self._socket)
        await self._stream.aclose()
