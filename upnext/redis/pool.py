"""The links of an event loop: one per address, found from anywhere, closed with the loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from anyio.abc import ByteStream

from upnext.redis.connection import open_stream
from upnext.redis.link import Link
from upnext.redis.loops import LoopVar
from upnext.redis.url import Address


class _Pool:
    """Owns the links of one event loop. A connection cannot move to another loop."""

    def __init__(self) -> None:
        self._links: dict[Address, Link] = {}
        self._until_end: AsyncGenerator[None, None] | None = None

    def link(self, address: Address, name: str) -> Link:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = Link(address, name=name, opener=self._open)
        return link

    async def aclose(self) -> None:
        links, self._links = self._links, {}
        for link in links.values():
            await link.aclose()

    async def _open(self, address: Address) -> ByteStream:
        if self._until_end is None:
            self._until_end = self._close_at_end()
            await anext(self._until_end)
        return await open_stream(address)

    async def _close_at_end(self) -> AsyncGenerator[None, None]:
        # Nobody encloses a pool, yet its sockets must not outlive their loop. Both backends
        # close the async generators that are still open when a loop ends; this is one.
        try:
            yield
        finally:
            await self.aclose()


_pool: LoopVar[_Pool] = LoopVar("upnext.redis.pool")


def current_link(address: Address, *, name: str = "upnext") -> Link:
    """The link of this event loop to an address, shared by everyone in it.

    Nothing is connected yet: the first command does that.

    Args:
        address: The server.
        name: The connection's name in ``CLIENT LIST``; the first caller's name counts.

    Raises:
        anyio.NoEventLoopError: There is no running event loop.
    """
    pool = _pool.get()
    if pool is None:
        pool = _Pool()
        _pool.set(pool)
    return pool.link(address, name)


async def close_links() -> None:
    """Close all links of this event loop; those asked for later are new ones.

    A program need not call this: what is still open is closed when the event loop ends.
    """
    pool = _pool.get()
    if pool is not None:
        await pool.aclose()
