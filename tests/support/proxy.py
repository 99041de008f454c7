"""A network between client and server that does what networks do: cut, swallow, delay."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Owns a loopback port in front of a server; one pair of threads per connection.

    Attributes:
        swallow: Replies are taken from the server and thrown away: a half-open connection.
        delay: Seconds that each piece of a command is held up.
        chunk: Most bytes of a reply passed on at once.
        taken: Set when a reply was swallowed.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self.swallow = False
        self.chunk = 65536
        self.delay = 0.0
        self.taken = threading.Event()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    @property
    def connections(self) -> int:
        """How many were accepted so far."""
        return len(self._pairs)

    def reset(self) -> None:
        """Cut all connections hard (RST): what was under way is lost."""
        for pair in self._pairs:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                _shut(side)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _shut(self._listener)
        for pair in self._pairs:
            for side in pair:
                _shut(side)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()
        for pair in self._pairs:
            for side in pair:
                side.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._pairs.append((client, server))
                self._start(self._forward, client, server)
                self._start(self._answer, server, client)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                time.sleep(self.delay)
                server.sendall(data)
        _shut(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.swallow:
                    self.taken.set()
                    continue
                for start in range(0, len(data), self.chunk):
                    client.sendall(data[start : start + self.chunk])
        _shut(client)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


def _shut(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
