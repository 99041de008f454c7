"""Subscriptions: who hears what the server pushes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from redis.exceptions import RedisError

from upnext.redis.waiter import Waiter

logger = logging.getLogger("upnext.redis")


class Handler:
    """One listener of a channel: its two functions, and whether it has missed something."""

    __slots__ = ("missed", "on_gap", "on_message")

    def __init__(self, on_message: Callable[[bytes], None], on_gap: Callable[[], None]) -> None:
        self.on_message = on_message
        self.on_gap = on_gap
        self.missed = False


class Channel:
    """One channel and all who listen to it on this link.

    Attributes:
        name: The channel's name.
        handlers: Its listeners, in the order they came.
        confirmed: The server has confirmed the subscription on the present connection.
        error: Why the server refused it.
    """

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.handlers: list[Handler] = []
        self.confirmed = False
        self.error: RedisError | None = None
        self._waiters: list[Waiter] = []

    def waiter(self) -> Waiter:
        """A waiter that is woken when the server has confirmed or refused."""
        waiter = Waiter()
        self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """This waiter does not wait any more."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def confirm(self) -> None:
        """The server listens for us now; tell those who missed something before."""
        self.confirmed, self.error = True, None
        self._settle()
        for handler in list(self.handlers):
            if handler.missed:
                handler.missed = False
                _call(handler.on_gap)

    def refuse(self, error: RedisError) -> None:
        """The server does not let us listen."""
        self.error = error
        logger.warning("cannot subscribe to %r: %s", self.name, error)
        self._settle()

    def lose(self) -> None:
        """The connection is gone, and what is published from now on with it."""
        self.confirmed, self.error = False, None
        for handler in self.handlers:
            handler.missed = True

    def publish(self, payload: bytes) -> None:
        """Give a message to every listener."""
        for handler in list(self.handlers):
            _call(handler.on_message, payload)

    def _settle(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()


class Channels:
    """Owns the table of channels this link listens to; the truth after a reconnect."""

    def __init__(self) -> None:
        self._channels: dict[bytes, Channel] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels.values())

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, name: bytes, handler: Handler) -> tuple[Channel, bool]:
        """Add a listener; also says whether the server has to be asked for the channel."""
        channel = self._channels.get(name)
        if new := channel is None:
            channel = self._channels[name] = Channel(name)
        channel.handlers.append(handler)
        return channel, new

    def remove(self, channel: Channel, handler: Handler) -> bool:
        """Remove a listener; True when it was the channel's last one."""
        if handler not in channel.handlers:
            return False
        channel.handlers.remove(handler)
        if channel.handlers:
            return False
        del self._channels[channel.name]
        return True

    def publish(self, name: bytes, payload: bytes) -> None:
        """A message came; nobody may listen any more, which is fine."""
        channel = self._channels.get(name)
        if channel is not None:
            channel.publish(payload)

    def lose(self) -> None:
        """The connection is gone."""
        for channel in self:
            channel.lose()


def _call(function: Callable[..., None], *args: bytes) -> None:
    # Whoever happens to read runs the listeners of all others: an error in one of them is not
    # the reader's, and must not keep the rest of what was read from those who wait for it.
    try:
        function(*args)
    except Exception:
        logger.exception("the listener %r raised", function)
