"""Channels: who hears what is published."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio.lowlevel

logger = logging.getLogger("upnext.testing")


class MemorySubscription:
    """One listener of a channel, until it is closed."""

    def __init__(
        self,
        channels: Channels,
        name: str,
        on_message: Callable[[bytes], None],
        on_gap: Callable[[], None],
    ) -> None:
        self.name = name
        self.on_message = on_message
        self.on_gap = on_gap
        self._channels = channels

    async def ready(self) -> None:
        """Return at once: nothing has to be asked for here."""
        await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Hear no more; closing twice is allowed."""
        self._channels.remove(self)


class Channels:
    """Owns the listeners of a memory store."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[MemorySubscription]] = {}

    def add(
        self, name: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> MemorySubscription:
        """Listen to a channel from now on."""
        listener = MemorySubscription(self, name, on_message, on_gap)
        self._listeners.setdefault(name, []).append(listener)
        return listener

    def remove(self, listener: MemorySubscription) -> None:
        """Listen no more."""
        listeners = self._listeners.get(listener.name, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop(listener.name, None)

    def publish(self, name: str, message: bytes) -> int:
        """Give a message to every listener; the answer counts them."""
        listeners = list(self._listeners.get(name, ()))
        for listener in listeners:
            # As on a link: an error in a listener is not the publisher's.
            try:
                listener.on_message(message)
            except Exception:
                logger.exception("the listener of %r raised", name)
        return len(listeners)

    def listeners(self, name: str) -> int:
        """How many listen to a channel."""
        return len(self._listeners.get(name, ()))

    def gap(self) -> None:
        """Tell every listener that it may have missed something, as after a reconnect."""
        for listener in [one for some in self._listeners.values() for one in some]:
            listener.on_gap()
