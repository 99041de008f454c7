"""Where requests go that no route of the app takes: to the mounts."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from upnext.api.ports import ASGIApp, Message, Mount, Receive, Scope, Send
from upnext.api.route_of import route_of

_READS = frozenset(("GET", "HEAD"))


def with_mounts(app: ASGIApp, mounts: Sequence[Mount]) -> ASGIApp:
    """The app, with the mounts behind its routes.

    A 404 of an app in which no route matched is held back, and the mount with the longest path
    that fits answers instead.
    """
    if not mounts:
        return app
    longest_first = sorted(mounts, key=lambda mount: len(mount.path), reverse=True)

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        mount = None
        if scope["type"] == "http" and scope["method"] in _READS:
            path = scope["path"]
            mount = next((each for each in longest_first if _is_below(path, each.path)), None)
        if mount is None:
            await app(scope, receive, send)
            return
        answer = _HeldBack(scope, send)
        await app(scope, receive, answer)
        if answer.unrouted:
            await mount(scope, receive, send)

    return routed


def _is_below(path: str, root: str) -> bool:
    root = root.rstrip("/")
    return path == root or path.startswith(f"{root}/")


@define(eq=False)
class _HeldBack:
    """Drops an answer which says that there is no such route."""

    scope: Scope
    send: Send
    unrouted: bool = field(default=False, init=False)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.unrouted = message["status"] == 404 and route_of(self.scope) is None
        if not self.unrouted:
            await self.send(message)
