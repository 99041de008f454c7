"""The way to the parent, as a child process has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from attrs import define, field

from upnext.errors import ConfigurationError
from upnext.redis.embedded import EmbeddedServerError
from upnext.supervision import messages

__all__ = ["Lifeline"]

MOST_DESCRIPTORS = 16


@define(eq=False)
class Lifeline:
    """The child's end of the socket to its parent."""

    _socket: socket.socket
    _lines: messages.Lines = field(factory=messages.Lines, init=False)

    @classmethod
    def inherited(cls) -> Lifeline | None:
        """The one that this process was started with, if it was; the first caller has it.

        What this process starts in turn is not supervised.
        """
        number = os.environ.pop(messages.VARIABLE, None)
        if number is None:
            return None
        try:
            descriptor = int(number)
            os.set_inheritable(descriptor, False)
            return cls(socket.socket(fileno=descriptor))
        except (ValueError, OSError):
            raise ConfigurationError(
                f"{messages.VARIABLE}={number!r} is set by upnext itself: unset it"
            ) from None

    def declare(self, facts: dict[str, Any]) -> None:
        """Say what is going to run, in values that JSON knows."""
        self._say(messages.DECLARED, facts=facts)

    def ready(self) -> None:
        """Say that jobs and requests are taken."""
        self._say(messages.READY)

    def listen(self, name: str, host: str, port: int) -> list[socket.socket]:
        """The parent's listening sockets for a place. Blocks until it answers.

        Raises:
            ConfigurationError: It cannot listen there.
        """
        answer, descriptors = self._ask(messages.LISTEN, name=name, host=host, port=port)
        if answer["error"]:
            raise ConfigurationError(answer["error"])
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def hold_embedded(self) -> None:
        """Have the parent keep the embedded server up, whoever of its children dies. Blocks.

        Raises:
            EmbeddedServerError: There can be none.
        """
        answer, _ = self._ask(messages.EMBED)
        if answer["error"]:
            raise EmbeddedServerError(answer["error"])

    async def heed(self, *, on_now: Callable[[], None]) -> None:
        """Call `on_now` when the parent wants a stop at once; return when the parent is gone."""
        self._socket.setblocking(False)
        while True:
            await anyio.wait_readable(self._socket)
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                return
            if any(message["kind"] == messages.NOW for message in self._lines.feed(data)):
                on_now()

    def close(self) -> None:
        self._socket.close()

    def _say(self, kind: str, **facts: Any) -> None:
        with suppress(OSError):  # the parent is gone, which `heed` finds out
            self._socket.sendall(messages.encode(kind, **facts))

    def _ask(self, kind: str, **facts: Any) -> tuple[dict[str, Any], list[int]]:
        self._say(kind, **facts)
        descriptors: list[int] = []
        while True:
            data, received, _, _ = socket.recv_fds(self._socket, 65536, MOST_DESCRIPTORS)
            if not data:
                raise ConfigurationError("the process that supervises this one is gone")
            descriptors += received
            if answers := self._lines.feed(data):
                return answers[0], descriptors
