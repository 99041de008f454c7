"""WebSockets and HTTP/2, which are left to Hypercorn's protocols."""

from __future__ import annotations

from typing import Any, cast

import h11
from anyio.abc import TaskGroup
from attrs import define, field
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.typing import ConnectionState

from upnext.api.ports import ASGIApp
from upnext.api.server.context import Context, Requests
from upnext.api.server.http1 import Wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with that speaks HTTP/2 from the start."""


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
    _protocol: Any = field(init=False)

    @_protocol.default
    def _hypercorns(self) -> Any:
        return ProtocolWrapper(
            cast("Any", self.app),
            self.config,
            cast("Any", self.context),
            cast("Any", Requests(self._group)),
            ConnectionState(cast("Any", self.state)),
            False,
            self.client,
            self.server,
            self._hear,
            "http/1.1",
        )

    @property
    def expects_body(self) -> bool:
        """Whether a request of HTTP/1.1 is not here as a whole."""
        connection = getattr(self._protocol.protocol, "connection", None)
        return getattr(connection, "their_state", None) in (h11.SEND_BODY, h11.ERROR)

    async def take(self, data: bytes) -> None:
        """Take in what the client sent."""
        await self._protocol.handle(RawData(data))

    async def leave(self) -> None:
        """Note that the client is gone."""
        await self._protocol.handle(Closed())

    async def _hear(self, event: Any) -> None:
        if isinstance(event, RawData):
            if event.data:
                await self._wire.send(event.data, at_once=False)
        elif isinstance(event, Updated):
            if not event.idle:
                self._wire.busy()
            elif self.context.terminated.is_set():
                await self._wire.close(linger=False)
            else:
                self._wire.rest()
        elif isinstance(event, Closed):
            await self._wire.close(linger=self.expects_body)
