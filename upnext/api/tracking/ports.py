"""What tracking needs of the store, and the shape of an ASGI application.

`upnext.store.Store` has the verbs on Redis, `upnext.testing.MemoryStore` without sockets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from upnext.model.traffic import TrafficBatch

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class TrafficPort(Protocol):
    """Write down what was served."""

    async def track(self, api: str, writer: str, batch: TrafficBatch) -> bool: ...


class PresencePort(Protocol):
    """Say that an API is served here, and no longer."""

    async def present(self, api: str, instance: str, record: bytes, ttl: int) -> bool: ...
    async def leave(self, api: str, instance: str) -> None: ...


class TrackPort(TrafficPort, PresencePort, Protocol):
    """All of it."""
