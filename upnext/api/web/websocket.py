"""One WebSocket on its way through Quart."""

from __future__ import annotations

from typing import Any

import anyio
from quart.asgi import ASGIWebsocketConnection
from quart.signals import websocket_received

from upnext.api.bounded import Bounded
from upnext.api.ports import Receive

MOST_WAITING = 16
"""Messages that were received and not asked for; then the client is held up."""


class WebsocketConnection(ASGIWebsocketConnection):
    """As `HTTPConnection`: the handler in the server's task, and a task that hears the client."""

    def __init__(self, app: Any, scope: Any) -> None:
        super().__init__(app, scope)
        self.queue: Any = Bounded[Any](MOST_WAITING)

    async def __call__(self, receive: Any, send: Any) -> None:
        websocket = self._create_websocket_from_scope(send)
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._hear, receive, group.cancel_scope)
            try:
                await self.handle_websocket(websocket, send)
            except Exception as error:  # raised again outside the task group
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _hear(self, receive: Receive, scope: anyio.CancelScope) -> None:
        while True:
            event = await receive()
            if event["type"] == "websocket.receive":
                message = event.get("bytes") or event["text"]
                await websocket_received.send_async(message)
                await self.queue.put(message)
            elif event["type"] == "websocket.disconnect":
                scope.cancel()
                return
