"""A queue between two tasks that holds no more than it may."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import anyio
from attrs import define, field

T = TypeVar("T")


@define(eq=False)
class Bounded(Generic[T]):
    """Keeps a few items in order; whoever puts one more waits.

    Nothing has to be closed: both tasks end with the request they serve.
    """

    most: int
    _items: deque[T] = field(factory=deque[T], init=False)
    _changed: anyio.Event | None = field(default=None, init=False)

    @property
    def full(self) -> bool:
        """Whether whoever puts an item has to wait."""
        return len(self._items) >= self.most

    @property
    def filled(self) -> bool:
        """Whether there is an item."""
        return bool(self._items)

    async def put(self, item: T) -> None:
        """Add an item, when there is room."""
        while self.full:
            await self._change()
        self._items.append(item)
        self._tell()

    def put_last(self, item: T) -> None:
        """Add an item now, room or no room. No other comes behind it."""
        self._items.append(item)
        self._tell()

    async def get(self) -> T:
        """Take the oldest item, when there is one."""
        while not self._items:
            await self._change()
        item = self._items.popleft()
        self._tell()
        return item

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
