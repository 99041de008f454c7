"""Static files among the mounts of an API."""

from __future__ import annotations

from attrs import frozen

from upnext.api.ports import Receive, Scope, Send
from upnext.api.static.mount import StaticMount
from upnext.api.static.mounts import StaticMounts

__all__ = ["MountedFiles"]


@frozen
class MountedFiles:
    """One `api.static(…)`, as the router sees it."""

    declared: StaticMount
    files: StaticMounts

    @property
    def path(self) -> str:
        return self.declared.path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.files.serve(scope, receive, send)
