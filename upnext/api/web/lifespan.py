"""An app's start and stop, and the group its background tasks run in."""

from __future__ import annotations

from typing import Any, cast

import anyio

from upnext.api.ports import Receive, Send


class Lifespan:
    """Runs what the app registered for its start and its stop.

    The group of the app's background tasks is open between them; at the stop they get
    BACKGROUND_TASK_SHUTDOWN_TIMEOUT seconds.
    """

    def __init__(self, app: Any, scope: Any) -> None:
        self.app = app

    async def __call__(self, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            self.app.background_group = group
            await receive()
            if not await self._told(send, "startup", self.app.startup):
                return
            await receive()
            limit = cast("float | None", self.app.config["BACKGROUND_TASK_SHUTDOWN_TIMEOUT"])
            group.cancel_scope.deadline = anyio.current_time() + (limit or 0)
        self.app.background_group = None
        await self._told(send, "shutdown", self.app.shutdown)

    async def _told(self, send: Send, word: str, run: Any) -> bool:
        try:
            await run()
        except Exception as error:  # the user's; the server is told
            await send({"type": f"lifespan.{word}.failed", "message": str(error)})
            return False
        await send({"type": f"lifespan.{word}.complete"})
        return True
