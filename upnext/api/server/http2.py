"""HTTP/2 as Hypercorn speaks it, with a client's time to take his answers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamReset
from h2.exceptions import ProtocolError
from hypercorn.events import Closed
from hypercorn.protocol.events import Body, Data, EndBody, EndData, Event, StreamClosed, Trailers
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, H2Protocol, StreamBuffer

from upnext.api.server.context import Late, Requests

logger = logging.getLogger("upnext.api")

PIECE = BUFFER_HIGH_WATER
"""Bytes of an answer that a client must take in time: what Hypercorn lets wait of a stream.
Fewer than of a connection, because the streams share it."""

_WAITING = (Body, Data, EndBody, EndData, Trailers, Late)
"""What waits for the client, or is about that."""


class Http2(H2Protocol):
    """Ends a request whose client does not take the answer.

    He says how much he takes of each stream, and while he takes none, nothing of it gets as far
    as the socket and its patience. What counts is an answer that waits for him: an app that
    computes, or has nothing to say, is not hurried. The other requests go on, which may be those
    of other people behind a proxy.
    """

    def __init__(self, requests: Requests, patience: float, *args: Any) -> None:
        super().__init__(*args)
        self._requests = requests
        self._patience = patience

    @property
    def idle(self) -> bool:
        """Whether no request is under way. Hypercorn keeps some that it refused."""
        return all(stream.idle or stream.closed for stream in self.streams.values())

    async def handle(self, event: Any) -> None:
        """Take in what the client sent, or that he is gone."""
        await super().handle(event)
        if isinstance(event, Closed):
            for stream_id in list(self.stream_buffers):
                await self._drop(stream_id)

    async def stream_send(self, event: Event) -> None:
        """Send what a stream has to say."""
        stream_id = event.stream_id
        if not isinstance(event, _WAITING):
            await super().stream_send(event)
        elif isinstance(event, Late):
            await self._reset(stream_id)
        elif stream_id not in self.streams or stream_id not in self.stream_buffers:
            await checkpoint()  # where nobody takes anything, it takes no time
        elif isinstance(event, Body):
            for begin in range(0, len(event.data), PIECE):
                piece = Body(stream_id, event.data[begin : begin + PIECE])
                await self._push(piece, partial(super().stream_send, piece))
        elif isinstance(event, Data):  # in one piece, or others' messages get between
            await self._push(event, partial(super().stream_send, event))
        else:
            buffer = self.stream_buffers[stream_id]
            waiting = len(buffer.buffer)
            if not isinstance(event, Trailers):
                await self._taken(buffer, waiting, partial(super().stream_send, event), stream_id)
                return
            if waiting:
                await self._taken(buffer, waiting, buffer.drain, stream_id)
            await super().stream_send(event)  # which is not to be cancelled while it sends them

    async def _push(self, event: Body | Data, send: Callable[[], Awaitable[None]]) -> None:
        buffer = self.stream_buffers.get(event.stream_id)
        waiting = len(event.data) + (0 if buffer is None else len(buffer.buffer))
        if buffer is None or waiting < BUFFER_HIGH_WATER:
            await send()
        else:
            await self._taken(buffer, waiting, send, event.stream_id)

    async def _taken(
        self,
        buffer: StreamBuffer,
        waiting: int,
        send: Callable[[], Awaitable[None]],
        stream_id: int,
    ) -> None:
        """Have something sent that may wait for the client, and end the request if he is late.

        Args:
            buffer: What is to be sent of the answer.
            waiting: Bytes that are there then.
            send: What adds to it first, and then does nothing but wait.
            stream_id: The request.
        """
        while True:
            began = anyio.current_time()
            with anyio.move_on_after(self._patience):
                await send()
                while len(buffer.buffer) >= BUFFER_HIGH_WATER:  # Hypercorn lets some pass
                    await buffer.drain()
                return
            send, before, waiting = buffer.drain, waiting, len(buffer.buffer)
            if before - waiting < PIECE and not self._requests.held_up(stream_id, since=began):
                logger.info("a client takes what it asked for too slowly; its request is ended")
                await self._reset(stream_id)
                return

    async def _reset(self, stream_id: int) -> None:
        if stream_id not in self.streams:
            return
        with suppress(ProtocolError):  # the client was faster
            self.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
        await self._flush()
        await self._drop(stream_id)
        await super().stream_send(StreamClosed(stream_id))

    async def _handle_events(self, events: list[Any]) -> None:
        if not any(isinstance(event, DataReceived | StreamReset) for event in events):
            await super()._handle_events(events)
            return
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                await self._refuse(event)  # its request is over: answered before all of it came
                continue
            await super()._handle_events([event])
            if isinstance(event, StreamReset):
                await self._drop(event.stream_id)
        await self._flush()  # what h2 has to say to something that is no event

    async def _refuse(self, event: DataReceived) -> None:
        with suppress(ProtocolError):
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id not in self.stream_buffers:  # all of the answer is sent
                self.connection.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)

    async def _drop(self, stream_id: int) -> None:
        """Forget what waits to be sent of a stream, and let those go on that wait for it.

        Hypercorn does so when it tries to send the next part, which it does not without a window.
        """
        buffer = self.stream_buffers.get(stream_id)
        if buffer is not None:
            await buffer.close()
            await self._window_updated(stream_id)
