"""One HTTP request on its way through Quart."""

from __future__ import annotations

from typing import Any, cast

import anyio
from quart.asgi import ASGIHTTPConnection
from quart.wrappers import Request
from quart.wrappers.response import DataBody
from werkzeug.wrappers import Response as WerkzeugResponse

from upnext.api.leaving import LEAVING, Leaving
from upnext.api.ports import Receive, Scope

SHORT = 1 << 16
"""Bytes of a body that is read as a whole before its handler is called."""


def is_short(scope: Scope) -> bool:
    """Whether the body is of `SHORT` bytes at most, as far as the headers say."""
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return False
        if name == b"content-length" and value.isdigit() and int(value[:20]) > SHORT:
            return False
    return True


class HTTPConnection(ASGIHTTPConnection):
    """Runs the handler in the task that the server gave the request, so in that task's scopes.

    Beside it one task hears the client: the body as it comes, and that he left, which cancels
    the handler.
    """

    async def __call__(self, receive: Any, send: Any) -> None:
        scope: Any = self.scope
        request = self._create_request_from_scope(send)
        self._answered = False
        self._leaving: Leaving | None = scope.get("extensions", {}).get(LEAVING)
        if self._leaving is not None and is_short(scope):
            await self._answer_short(request, receive, send, self._leaving)
            return
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._hear, request, receive, group.cancel_scope)
            try:
                await self.handle_request(request, send)
            except Exception as error:  # outside of the group it is not in a group itself
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _answer_short(
        self, request: Request, receive: Receive, send: Any, leaving: Leaving
    ) -> None:
        """Read the body first; then nothing is left to hear of the client but his end."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            request.body.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        request.body.set_complete()
        with anyio.CancelScope() as scope:
            leaving.cancels(scope)
            await self.handle_request(request, send)

    async def _hear(self, request: Request, receive: Receive, scope: anyio.CancelScope) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.request":
                request.body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    request.body.set_complete()
            elif message["type"] == "http.disconnect":
                if not self._answered:
                    scope.cancel()
                return

    async def handle_request(self, request: Request, send: Any) -> None:
        """Answer the request. How long a client may take to read is up to the server."""
        await self._send_response(send, await self.app.handle_request(request))

    async def _send_response(self, send: Any, response: Any) -> None:
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers
        ]
        start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": headers,
        }
        await send(start)
        whole = getattr(response, "response", None)
        if type(whole) is DataBody:
            await self._complete(send, whole.data[whole.begin : whole.end])
            return
        if isinstance(response, WerkzeugResponse):
            for part in cast("Any", response).iter_encoded():
                await send({"type": "http.response.body", "body": part, "more_body": True})
        else:
            async with response.response as body:
                async for part in body:
                    data = part.encode() if isinstance(part, str) else part
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        await self._complete(send, b"")

    async def _complete(self, send: Any, data: bytes) -> None:
        # With this the client may leave; what the app does afterwards is not cancelled.
        self._answered = True
        if self._leaving is not None:
            self._leaving.spares()
        await send({"type": "http.response.body", "body": data, "more_body": False})
