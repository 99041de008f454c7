"""One socket, many callers: what the rest of UpNext sees of a Redis connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from redis import exceptions as known

from upnext.redis.connection import Opener, open_stream
from upnext.redis.dial import Dialer
from upnext.redis.exchange import Exchange
from upnext.redis.faults import NOT_EXECUTED
from upnext.redis.pipeline import Batch
from upnext.redis.push import Channel, Channels, Handler
from upnext.redis.retry import Backoff
from upnext.redis.statistics import Statistics
from upnext.redis.url import Address
from upnext.redis.waiter import Waiter
from upnext.redis.wire import Command

__all__ = ["Link", "Statistics", "Subscription", "Waiter"]

PING = ("PING",)
"""Goes in front of commands whose replies can wait. After a round of commands the server writes to
its clients, and to whom it first had something to say it writes last (`clients_pending_write` in
Redis and Valkey, networking.c: whoever comes is put at the head). A PING makes that us."""


class Link:
    """The connection of one event loop to one server, shared by all callers in it.

    It connects when first used, needs no enclosing context manager, and runs no task: see
    :mod:`upnext.redis.exchange`. Blocking commands (``BLPOP``, ``XREAD BLOCK``) and ``MULTI`` do
    not belong here: everybody else's replies would wait behind them, or end up inside the
    transaction.

    Attributes:
        closed: Whether `aclose` was called; it is of no use any more.

    Args:
        address: The server.
        name: The name the server's ``CLIENT LIST`` shows.
        timeout: Seconds of silence, while replies are due, after which the connection counts as
            broken; also the most that connecting and one write may take.
        patience: Seconds after which a command that cannot be sent gives up.
        keepalive: Most seconds of silence, while somebody waits for a push, before the server is
            asked for a sign of life.
        backoff: How long to wait between tries.
        opener: Opens the byte stream; tests give their own.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str = "upnext",
        timeout: float = 5.0,
        patience: float = 10.0,
        keepalive: float = 15.0,
        backoff: Backoff | None = None,
        opener: Opener = open_stream,
    ) -> None:
        self.address = address
        self.closed = False
        self._patience = patience
        self._backoff = backoff or Backoff()
        self._channels = Channels()
        self._dialer = Dialer(address, name, timeout, self._backoff, opener)
        self._exchange = Exchange(
            self._dialer,
            self._channels,
            timeout=timeout,
            patience=patience,
            keepalive=keepalive,
            shown=address.describe(),
        )

    async def execute(self, *args: Any, idempotent: bool = False) -> Any:
        """Send one command and wait for its reply, in one write and one read.

        Args:
            *args: The words of the command: str, bytes, int or float.
            idempotent: It may be sent again when its outcome is unknown.

        Returns:
            The reply as hiredis gives it: bytes, int, list, dict, None, …, nothing decoded.

        Raises:
            redis.exceptions.ResponseError: The server refused the command; subclasses as
                redis-py has them.
            redis.exceptions.TimeoutError: The server fell silent. Unless the command is
                idempotent it is not known whether it was executed.
            redis.exceptions.ConnectionError: The connection was lost after the command was sent
                (the same holds), or the server cannot be reached within ``patience``.

        Cancelling drops the reply when it comes; other callers notice nothing.
        """
        (reply,) = await self.execute_many((args,), idempotent=idempotent)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def execute_many(
        self,
        commands: Sequence[Command],
        *,
        idempotent: bool = False,
        others_first: bool = False,
        prompt: bool = False,
    ) -> list[Any]:
        """Send commands in one write and wait for all replies.

        Error replies stand in place as exceptions. A command the server did not execute because
        it was loading, busy, or a replica is sent again until ``patience`` is over, possibly
        after those behind it. Otherwise as :meth:`execute`.

        Args:
            commands: What to send.
            idempotent: All of it may be sent again when its outcome is unknown.
            others_first: What the commands publish is written to its subscribers before the
                replies are written here. No promise, and it costs the server one more command.
            prompt: Write at once. Else, where much is going on, others who have something to send
                in this turn of the event loop join the write; a turn may take long.
        """
        if not commands:
            await checkpoint()
            return []
        words = (PING, *commands) if others_first else commands
        batch = Batch(words, idempotent=idempotent, prompt=prompt)
        await self._exchange.perform(batch)
        if batch.error is not None:
            raise batch.error
        if others_first:
            del batch.replies[0]
        if batch.refused and not await self._insist(commands, batch.replies, idempotent):
            return batch.replies
        if self._dialer.failures:
            self._dialer.settle()
        return batch.replies

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Subscription:
        """Listen to a channel. Never blocks: the server is asked with the next write.

        So a subscription and the command that causes the message travel together. Several
        listeners may share a channel. Messages arrive while somebody executes or attends.

        Args:
            channel: The channel's name.
            on_message: Called with each payload by whoever reads; must neither block nor raise.
            on_gap: Called after a reconnect has subscribed again: messages may be missing.
        """
        handler = Handler(on_message, on_gap)
        entry, new = self._channels.add(channel.encode(), handler)
        if new:
            self._exchange.subscribe(entry)
        return Subscription(self, entry, handler)

    def unsubscribe(self, channel: Channel, handler: Handler) -> None:
        """Take one listener out; :meth:`Subscription.close` calls this."""
        if self._channels.remove(channel, handler):
            self._exchange.unsubscribe(channel)

    async def attend(self, waiter: Waiter) -> None:
        """Take part in reading until the waiter is woken, by a listener or from elsewhere.

        Raises:
            redis.exceptions.ConnectionError: The server could not be reached for ``patience``
                seconds. The subscriptions remain; attend again to go on waiting.
        """
        if waiter.done:
            await checkpoint()
        await self._exchange.tend(waiter, inf)

    async def aclose(self) -> None:
        """Close the connection; whoever waits gets a ConnectionError. Bounded, never raises."""
        self.closed = True
        await self._exchange.aclose()

    @property
    def busy(self) -> bool:
        """Whether replies are due."""
        return self._exchange.busy

    def statistics(self) -> Statistics:
        """A snapshot for tests, logs and the dashboard."""
        return self._exchange.statistics()

    async def _insist(
        self, commands: Sequence[Command], replies: list[Any], idempotent: bool
    ) -> bool:
        """Send again what the server did not execute, and put the replies in their places.

        Returns:
            Whether all was executed before patience was over.
        """
        failures, give_up_at = 0, None
        while refused := [i for i, r in enumerate(replies) if isinstance(r, NOT_EXECUTED)]:
            failures += 1
            delay, now = self._backoff.delay(failures), anyio.current_time()
            if give_up_at is None:
                give_up_at = now + self._patience
            if now + delay > give_up_at:
                return False
            if any(isinstance(replies[i], known.ReadOnlyError) for i in refused):
                self._exchange.retire()  # after a failover the address leads elsewhere
            await anyio.sleep(delay)
            again = Batch([commands[i] for i in refused], idempotent=idempotent)
            await self._exchange.perform(again, give_up_at)
            if again.error is not None:
                raise again.error
            for i, reply in zip(refused, again.replies, strict=True):
                replies[i] = reply
        return True


class Subscription:
    """One listener of one channel; made by :meth:`Link.subscribe`."""

    def __init__(self, link: Link, channel: Channel, handler: Handler) -> None:
        self._link = link
        self._channel = channel
        self._handler = handler

    async def ready(self) -> None:
        """Wait until the server has confirmed the subscription.

        Raises:
            redis.exceptions.RedisError: The server refused it, or cannot be reached.
        """
        if not self._channel.confirmed and self._channel.error is None:
            waiter = self._channel.waiter()
            try:
                await self._link.attend(waiter)
            finally:
                self._channel.forget(waiter)
        if self._channel.error is not None:
            raise self._channel.error

    def close(self) -> None:
        """Hear nothing from now on. The server is told with the next write; never blocks."""
        self._link.unsubscribe(self._channel, self._handler)
