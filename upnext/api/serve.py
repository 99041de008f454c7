"""Serving an API until it is told to stop."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup, TaskStatus
from attrs import define, field
from hypercorn.config import Config

from upnext.api.api import Api
from upnext.api.ports import ASGIApp, Broker, Wrap
from upnext.api.runtime import Runtime
from upnext.api.server.connection import Connection
from upnext.api.server.context import Context
from upnext.api.server.lifespan import ApiLifespanError, Lifespan
from upnext.api.server.listen import listeners_on, url_of

logger = logging.getLogger("upnext.api")

MOST_HEADERS = 16 << 10
"""Bytes of a request's line and headers; up to one read more passes."""
IDLE_PATIENCE = 5.0
"""Seconds for the headers of a request: of the first one, and after each answer."""
MOST_MESSAGE = 16 << 20
"""Bytes of a WebSocket message."""
MOST_STREAMS = 100
"""Requests of an HTTP/2 connection at a time. Clients count on so many before they hear how many
they may send, and h2 ends the connection of one that sends more."""
_OUT_OF = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
BREATH = 0.1
"""Seconds to wait where the machine has nothing left for one more connection."""
MOST_AT_ONCE = 64
"""Clients taken in by one turn of the event loop."""
_POSIX = os.name == "posix"
"""Whether a listening socket may be asked beside the event loop."""


async def serve_api(
    api: Api,
    *,
    sockets: Sequence[socket.socket] = (),
    stopping: anyio.Event,
    timeout: float,
    store: Broker | None = None,
    outer: Sequence[Wrap] = (),
    task_status: TaskStatus[list[str]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an API until `stopping` is set, in tasks of the caller's.

    Then no new connection and no new request is taken: what waits for a next request is closed,
    what is under way has `timeout` seconds and is cancelled then. Cancelling it cancels all
    requests at once.

    Args:
        api: The API.
        sockets: Listening already, perhaps in several processes; this one's copies are closed in
            the end. None: the API's host and port.
        stopping: Set from outside when it is time to end.
        timeout: Seconds of grace for requests that are under way.
        store: The broker that readiness asks; None: there is none.
        outer: More middlewares around everything, the outermost first.
        task_status: Started with the URLs it listens on.

    Raises:
        ConfigurationError: it cannot listen there.
        ApiLifespanError: the app could not start or stop.
    """
    runtime = Runtime(store)
    app = api.asgi(*outer, runtime=runtime)
    listeners = await listeners_on(api.name, api.host, api.port, sockets)
    state: dict[str, Any] = {}
    try:
        async with anyio.create_task_group() as life:
            lifespan = Lifespan(app, state)
            await life.start(lifespan.run)
            server = _Server(app, state)
            async with anyio.create_task_group() as requests:
                async with anyio.create_task_group() as accepting:
                    for listener in listeners:
                        accepting.start_soon(server.accept, listener, requests)
                    task_status.started([url_of(listener) for listener in listeners])
                    await stopping.wait()
                    accepting.cancel_scope.cancel()
                runtime.stopping = True
                requests.cancel_scope.deadline = anyio.current_time() + timeout
                await _close(listeners)
                await server.end_idle()
            await lifespan.stop()
    except ExceptionGroup as errors:
        alone = _alone(errors)
        if isinstance(alone, ApiLifespanError):
            raise alone from None
        raise
    finally:
        await _close(listeners)


def _alone(error: BaseException) -> BaseException:
    """What is in a group, if that is one error."""
    inside: Sequence[BaseException] = (error,)
    while len(inside) == 1 and isinstance(alone := inside[0], BaseExceptionGroup):
        inside = cast("BaseExceptionGroup[BaseException]", alone).exceptions
    return inside[0] if len(inside) == 1 else error


async def _close(listeners: Sequence[SocketListener]) -> None:
    for listener in listeners:
        await anyio.aclose_forcefully(listener)


@define(eq=False)
class _Server:
    """The open connections."""

    app: ASGIApp
    state: dict[str, Any]
    context: Context = field(factory=Context, init=False)
    config: Config = field(factory=lambda: server_config(), init=False)
    _open: set[Connection] = field(factory=set[Connection], init=False)

    async def accept(self, listener: SocketListener, group: TaskGroup) -> None:
        """Take in clients.

        To accept one takes a few turns of the event loop, each of which serves all that are here
        already. So those that came together are taken in together.
        """
        listening = listener.extra(SocketAttribute.raw_socket) if _POSIX else None
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _OUT_OF:
                    raise
                logger.error("cannot take in a client: %s", error)
                await anyio.sleep(BREATH)
            else:
                group.start_soon(self._serve, stream)
                for client in _others(listening):
                    group.start_soon(self._welcome, client)

    async def end_idle(self) -> None:
        """Close what waits for a next request, and everything else behind its request."""
        await self.context.terminated.set()
        for connection in self._open:
            connection.end_if_idle()

    async def _welcome(self, client: socket.socket) -> None:
        try:
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = await SocketStream.from_socket(client)
        except (OSError, ValueError):  # AnyIO takes no socket whose other end is gone already
            client.close()
        except BaseException:  # cancellation included: nobody else knows this socket
            client.close()
            raise
        else:
            await self._serve(stream)

    async def _serve(self, stream: SocketStream) -> None:
        connection = Connection(self.app, self.config, self.context, self.state, stream)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)


def _others(listening: socket.socket | None) -> Iterator[socket.socket]:
    """The clients that wait to be accepted, as many as may be at once."""
    if listening is None:
        return
    for _ in range(MOST_AT_ONCE - 1):
        try:
            client, _address = listening.accept()
        except OSError:  # nobody waits; what else it is shows when the next one is accepted
            return
        yield client


def server_config() -> Config:
    """What connections are held to, whatever they speak."""
    config = Config()
    config.accesslog = None
    config.errorlog = logger
    config.include_server_header = False
    config.h11_max_incomplete_size = MOST_HEADERS
    config.h2_max_header_list_size = MOST_HEADERS
    config.h2_max_concurrent_streams = MOST_STREAMS
    config.keep_alive_timeout = IDLE_PATIENCE
    config.websocket_max_message_size = MOST_MESSAGE
    config.websocket_ping_interval = 20.0
    return config
