"""`/runtime/health` and `/runtime/ready`, which every API has."""

from __future__ import annotations

from typing import Any

import anyio
from attrs import define

from upnext.api.answers import dump
from upnext.api.ports import ASGIApp, Broker, Receive, Scope, Send

HEALTH = "/runtime/health"
READY = "/runtime/ready"
PATIENCE = 2.0
"""Seconds in which the broker must answer."""


@define(eq=False)
class Runtime:
    """What is known of the process that serves an API."""

    broker: Broker | None = None
    stopping: bool = False
    """Set by the server once it takes no new requests: ready no more."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """The app with the runtime's own routes before it."""

        async def routed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not scope["path"].startswith("/runtime/"):
                await app(scope, receive, send)
            elif scope["path"] == HEALTH:
                await _answer(scope, send, 200, {"status": "ok"})
            elif scope["path"] == READY:
                status, body = await self.readiness()
                await _answer(scope, send, status, body)
            else:
                await app(scope, receive, send)

        return routed

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """The answer to whether requests should be sent here: its status and its body."""
        if self.stopping:
            return 503, {"status": "stopping", "detail": "the server is stopping"}
        if self.broker is None:
            return 200, {"status": "ok", "broker": "none"}
        try:
            with anyio.fail_after(PATIENCE):
                await self.broker.ping()
        except TimeoutError:
            problem = f"the broker did not answer within {PATIENCE:g} s"
        except Exception as error:  # whatever keeps the broker away is told
            problem = f"the broker cannot be reached: {error}"
        else:
            return 200, {"status": "ok", "broker": "ok"}
        return 503, {"status": "degraded", "detail": problem}


async def _answer(scope: Scope, send: Send, status: int, body: dict[str, Any]) -> None:
    if scope["method"] not in ("GET", "HEAD"):
        status, body = 405, {"detail": "only GET and HEAD are allowed"}
    data = dump(body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data, "more_body": False})
