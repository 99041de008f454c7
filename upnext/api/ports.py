"""What the parts of an API ask of each other, and of whoever runs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Wrap = Callable[[ASGIApp], ASGIApp]
"""A middleware: makes an app of an app."""


class Broker(Protocol):
    """What readiness asks of the queue."""

    async def ping(self) -> None:
        """Return when the broker answers.

        Raises:
            Exception: it does not; the text says why.
        """
        ...


class Mount(Protocol):
    """An ASGI app that answers below a path where no route matches, such as a static site."""

    @property
    def path(self) -> str:
        """What the paths it answers begin with; `/` for all that nobody else answers."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a GET or HEAD request."""
        ...
