"""How an app of ours hears that its client left without a task that waits for it."""

from __future__ import annotations

import anyio
from attrs import define, field

LEAVING = "upnext.leaving"
"""Its name among the extensions of a request's scope."""


@define(eq=False)
class Leaving:
    """Cancels a scope when the client of a request leaves.

    A task for each request, which does nothing but wait for the end of the client, is a fifth of
    what a short request costs.
    """

    _scope: anyio.CancelScope | None = field(default=None, init=False)
    gone: bool = field(default=False, init=False)
    """Whether he left, or has his answer. Read by whoever counts requests."""

    def leave(self) -> bool:
        """Note that he left. Returns whether that cancelled somebody, who need not be told then."""
        self.gone = True
        if self._scope is None:
            return False
        self._scope.cancel()
        return True

    def cancels(self, scope: anyio.CancelScope) -> None:
        """Cancel this scope when the client leaves; at once, if he left already."""
        self._scope = scope
        if self.gone:
            scope.cancel()

    def spares(self) -> None:
        """Cancel nothing any more: the answer is complete, and the client free to leave."""
        self._scope = None
