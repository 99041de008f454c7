"""Listening sockets, bound once and lent to every process that serves them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from attrs import define, field

from upnext.api.server.listen import BACKLOG, refusal
from upnext.errors import ConfigurationError

__all__ = ["Listeners", "bind"]

Place = tuple[str, str, int]
"""Whose it is, its host, its port."""


def bind(name: str, host: str, port: int) -> list[socket.socket]:
    """Listen at every address that a host name stands for.

    Args:
        name: Who listens, for the error.
        host: A name or an address.
        port: 0: one that is free.

    Raises:
        ConfigurationError: Somebody else listens there, or there is no such address.
    """
    bound: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG
        )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            bound.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port == 0 and len(bound) > 1:  # one port for all families
                address = (address[0], bound[0].getsockname()[1], *address[2:])
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
    except OSError as error:
        for listening in bound:
            listening.close()
        raise ConfigurationError(f"api {name}: {refusal(error, host, port)}") from None
    return bound


@define(eq=False)
class Listeners:
    """Owns the sockets of a service: they outlive the processes that accept on them."""

    _open: dict[Place, list[socket.socket]] = field(factory=dict[Place, list[socket.socket]])
    _wanted: set[Place] = field(factory=set[Place])

    def lend(self, name: str, host: str, port: int) -> Sequence[socket.socket]:
        """The sockets of this place, bound by whoever asks first. Raises as `bind`."""
        place = (name, host, port)
        self._wanted.add(place)
        if place not in self._open:
            self._open[place] = bind(name, host, port)
        return self._open[place]

    def begin(self) -> None:
        """From here on it is noted anew who is asked for."""
        self._wanted.clear()

    def drop_unwanted(self) -> None:
        """Stop listening where nobody asked to since `begin`: code that changed has moved."""
        for place in self._open.keys() - self._wanted:
            self._close(place)

    def close(self) -> None:
        for place in list(self._open):
            self._close(place)

    def _close(self, place: Place) -> None:
        for listening in self._open.pop(place):
            listening.close()
