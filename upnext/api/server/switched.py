"""WebSockets and HTTP/2, which are left to Hypercorn's protocols."""

from __future__ import annotations

from typing import Any, cast

import h11
from anyio.abc import TaskGroup
from attrs import Factory, define, field
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.h11 import (
    H2CProtocolRequiredError,
    H2ProtocolAssumedError,
    H11Protocol,
)
from hypercorn.typing import ConnectionState

from upnext.api.ports import ASGIApp
from upnext.api.server.context import Context, Requests
from upnext.api.server.http1 import Wire
from upnext.api.server.http2 import Http2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with that speaks HTTP/2 from the start."""


def _requests_of(switched: Any) -> Requests:
    return Requests(switched._group, switched._body_patience)


def _http1_for(switched: Any) -> H11Protocol:
    return H11Protocol(*switched._for_hypercorn())


@define(eq=False)
class Switched:
    """A connection whose client asked for another protocol, from his request on.

    Also one that asked for something that nobody speaks: Hypercorn answers it by HTTP/1.1.
    """

    app: ASGIApp
    config: Config
    context: Context
    state: dict[str, Any]
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    _wire: Wire
    _group: TaskGroup
    _body_patience: float
    _send_patience: float
    _busy: bool = field(default=False, init=False)
    """Whether a request is under way, as far as the wire knows."""
    _requests: Requests = field(default=Factory(_requests_of, takes_self=True), init=False)
    _protocol: H11Protocol | Http2 = field(default=Factory(_http1_for, takes_self=True), init=False)

    def _for_hypercorn(self) -> tuple[Any, ...]:
        return (
            self.app,
            self.config,
            self.context,
            self._requests,
            ConnectionState(cast("Any", self.state)),
            False,
            self.client,
            self.server,
            self._hear,
        )

    @property
    def expects_body(self) -> bool:
        """Whether a request of HTTP/1.1 is not here as a whole."""
        state = getattr(self._protocol.connection, "their_state", None)
        return state in (h11.SEND_BODY, h11.ERROR)

    async def take(self, data: bytes) -> None:
        """Take in what the client sent."""
        try:
            await self._protocol.handle(RawData(data))
        except H2ProtocolAssumedError as error:
            await self._go_on_by_http2(error.data)
        except H2CProtocolRequiredError as error:
            await self._go_on_by_http2(error.data, error.headers, error.settings)
        # Hypercorn says nothing of the last request when it was the client who ended it.
        if self._busy and isinstance(self._protocol, Http2) and self._protocol.idle:
            await self._hear(Updated(idle=True))

    async def leave(self) -> None:
        """Note that the client is gone."""
        await self._protocol.handle(Closed())

    async def _go_on_by_http2(self, data: bytes, *request: Any) -> None:
        protocol = Http2(self._requests, self._send_patience, *self._for_hypercorn())
        self._protocol = protocol
        await protocol.initiate(*request)
        if data:
            await protocol.handle(RawData(data))

    async def _hear(self, event: Any) -> None:
        if isinstance(event, RawData):
            if event.data:
                await self._wire.send(event.data, at_once=False)
        elif isinstance(event, Updated):
            self._busy = not event.idle
            if not event.idle:
                self._wire.busy()
            elif self.context.terminated.is_set():
                await self._wire.close(linger=False)
            else:
                self._wire.rest()
        elif isinstance(event, Closed):
            await self._wire.close(linger=self.expects_body)
