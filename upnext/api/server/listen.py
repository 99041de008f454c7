"""The sockets a server listens on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

import anyio
from anyio.abc import SocketAttribute, SocketListener

from upnext.errors import ConfigurationError

BACKLOG = 1024


async def listeners_on(
    name: str, host: str, port: int, sockets: Sequence[socket.socket]
) -> list[SocketListener]:
    """Listen on sockets that are open already, or on an address.

    Args:
        name: The API's, for errors.
        host: The address.
        port: The port; 0 for any that is free.
        sockets: Listening already; they belong to the listeners from now on.

    Raises:
        ConfigurationError: the address cannot be listened on; one line says why.
    """
    if sockets:
        return [await SocketListener.from_socket(each) for each in sockets]
    try:
        opened = await anyio.create_tcp_listener(
            local_host=host, local_port=port, backlog=BACKLOG, reuse_port=False
        )
    except OSError as error:
        raise ConfigurationError(f"api {name}: {refusal(error, host, port)}") from None
    return [each for each in opened.listeners if isinstance(each, SocketListener)]


def url_of(listener: SocketListener) -> str:
    """Where to reach a listener."""
    address = listener.extra(SocketAttribute.local_address)
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


def refusal(error: OSError, host: str, port: int) -> str:
    """Why an address cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: stop what listens there, or choose another port"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} may not be used: choose one from 1024 on"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"{host!r} is no address of this machine"
    return f"cannot listen on {host}:{port}: {error}"
