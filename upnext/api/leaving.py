"""How an app of ours hears that its client left without a task that waits for it."""

from __future__ import annotations

from typing import Any

import anyio
from attrs import define, field

from upnext.api.bounded import Bounded
from upnext.api.ports import Message

LEAVING = "upnext.leaving"
"""Its name among the extensions of a request's scope."""


@define(eq=False)
class Leaving:
    """Passes on what a client sends, and cancels a scope when he leaves.

    A task for each request, which does nothing but wait for the end of the client, is a fifth of
    what a short request costs.
    """

    _inbox: Bounded[Any]
    _scope: anyio.CancelScope | None = field(default=None, init=False)
    gone: bool = field(default=False, init=False)
    """Whether he left. Read by whoever counts requests."""

    async def put(self, message: Message) -> None:
        """Pass on a message of the client."""
        if message["type"] == "http.disconnect":
            self.gone = True
            if self._scope is not None:
                self._scope.cancel()
                return
        await self._inbox.put(message)

    def cancels(self, scope: anyio.CancelScope) -> None:
        """Cancel this scope when the client leaves; at once, if he left already."""
        self._scope = scope
        if self.gone:
            scope.cancel()

    def spares(self) -> None:
        """Cancel nothing any more: the answer is complete, and the client free to leave."""
        self._scope = None
