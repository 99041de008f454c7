"""Who sends, who reads, who reconnects: callers share these roles, so no task is needed.

Whoever has something to say appends it to one buffer; the first one sends for all (flat
combining). Whoever waits first reads for all and hands over when its own reply is in (leader and
followers). The same goes for reconnecting. A caller that finds every role taken parks; a caller
that leaves, for whatever reason, wakes a parked one if it leaves a role vacant.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from math import inf
from typing import Any

import anyio
from hiredis import PushNotification
from redis import exceptions as known

from upnext.redis.connection import LOST, Connection
from upnext.redis.dial import Dialer
from upnext.redis.loops import Primitives, primitives
from upnext.redis.pipeline import Batch, Confirmation
from upnext.redis.push import Channel, Channels
from upnext.redis.statistics import Statistics
from upnext.redis.unsent import Unsent
from upnext.redis.waiter import Waiter

ENOUGH = 16
"""Callers that share a write before it is made: with these the server has something to do."""

FULL = 512
"""Bytes that are worth a write of their own: who sends so many waits for nobody to join."""


class Exchange:
    """Owns the present connection, what is to be sent on it, and the roles.

    Args:
        dialer: Makes the connections.
        channels: What to subscribe to on each of them.
        timeout: Seconds of silence, while replies are due, that end a connection.
        patience: Seconds to try to get a new one.
        keepalive: Most seconds of silence, while none is due, before a PING.
        shown: The address for messages.
    """

    _loop: Primitives
    """Found when somebody needs the first connection, for the link may be older than the loop."""

    def __init__(
        self,
        dialer: Dialer,
        channels: Channels,
        *,
        timeout: float,
        patience: float,
        keepalive: float,
        shown: str,
    ) -> None:
        self._dialer = dialer
        self._channels = channels
        self._timeout = timeout
        self._patience = patience
        self._keepalive = keepalive
        self._shown = shown
        self._connection: Connection | None = None
        self._connecting = False
        self._closed = False
        self._unsent = Unsent()
        self._parked: dict[Waiter, None] = {}
        self._joined = 1  # how many shared the last write
        self._commands = self._writes = self._reads = 0
        self._connected_at: float | None = None

    def perform(self, batch: Batch, give_up_at: float | None = None) -> Coroutine[Any, Any, None]:
        """Send a batch and wait until it is answered or has failed. Await it at once.

        Args:
            batch: The commands; holds the replies, or the error, afterwards.
            give_up_at: When to stop trying to connect, on the event loop's clock; None: when
                that has taken for as long as there is patience.

        Cancelling abandons the batch: unsent it is taken back, sent its replies are dropped.
        """
        self._unsent.add(batch)
        return self.tend(batch, give_up_at)

    async def tend(self, waiter: Waiter, give_up_at: float | None) -> None:
        """Play whatever role is vacant until the waiter is done.

        Args:
            waiter: Who waits.
            give_up_at: As of `perform`; `inf`: each lost connection has all patience anew.
        """
        unsent = self._unsent.slots
        try:
            while not waiter.done:
                connection = self._connection
                if connection is None:
                    if give_up_at is None:
                        give_up_at = anyio.current_time() + self._patience
                    await self._restore(waiter, give_up_at)
                elif connection.retiring and connection.is_spent():
                    await self._give_up(connection, known.ConnectionError("retired"))
                elif unsent and self._is_to_write(connection):
                    await self._write(connection)
                elif not connection.reading:
                    await self._read(connection, waiter)
                else:
                    await self._park(waiter, inf)
        finally:
            if not waiter.done and isinstance(waiter, Batch):
                waiter.abandoned = True
                self._unsent.drop(waiter)
            # Also when cancelled, and also when woken only to take over a role: it must not
            # stay vacant while others wait.
            self._hand_over()

    def subscribe(self, channel: Channel) -> None:
        """Ask the server for a channel, with the next write."""
        self._unsent.ask(channel)

    def unsubscribe(self, channel: Channel) -> None:
        """Tell the server that nobody listens any more, with the next write."""
        if not self._unsent.unask(channel) and self._connection is not None:
            self._unsent.add(Confirmation(b"unsubscribe", channel))

    def retire(self) -> None:
        """Use another connection as soon as all that was sent on this one is answered."""
        if self._connection is not None:
            self._connection.retiring = True

    async def aclose(self) -> None:
        """Close the connection; whoever waits gets a ConnectionError."""
        self._closed = True
        connection, error = self._connection, self._was_closed()
        if connection is not None:
            self._lose(connection, error)
        for batch in self._unsent.take_batches():
            batch.fail(error)
        self._resume_all()
        if connection is not None:
            await connection.aclose()

    @property
    def busy(self) -> bool:
        """Whether replies are due."""
        return self._connection is not None and bool(self._connection.pipeline.due)

    def statistics(self) -> Statistics:
        """What was done so far."""
        connection = self._connection
        return Statistics(
            commands=self._commands,
            writes=self._writes,
            reads=self._reads,
            reconnects=max(0, self._dialer.connections - 1),
            epoch=self._dialer.connections,
            pending=len(connection.pipeline.due) if connection else 0,
            unsent=len(self._unsent),
            parked=len(self._parked),
            channels=len(self._channels),
            connected=connection is not None,
            connected_at=self._connected_at,
        )

    async def _write(self, connection: Connection) -> None:
        if (self._joined > 1 or connection.pipeline.due) and not self._is_full(connection):
            connection.gathering = True
            try:
                await self._loop.turn()  # where much is going on, others join this write
            finally:
                connection.gathering = False
            if connection is not self._connection or not self._is_to_write(connection):
                return
        connection.writing = True
        try:
            await self._send_all(connection)
        finally:
            connection.writing = False

    async def _send_all(self, connection: Connection) -> None:
        if not connection.pipeline.due and connection.is_gone():
            # Noticed while nothing was under way, so nobody's outcome is unknown.
            await self._give_up(connection, known.ConnectionError("the server closed it"))
            return
        slots = self._unsent.take()
        if not slots:
            return
        if not connection.pipeline.due:
            connection.expect_within(self._timeout)
        connection.pipeline.expect(slots)
        self._joined = len(slots)
        self._writes += 1
        self._commands += sum([slot.expected for slot in slots])
        data = slots[0].packed if len(slots) == 1 else b"".join([slot.packed for slot in slots])
        try:
            sent = connection.send_now(data)
            self._hand_over()  # somebody should read while this one writes
            if sent < len(data) and not await connection.send_rest(data, sent, self._timeout):
                await self._give_up(connection, self._silent())
        except BaseException as error:
            # Not only when the connection is lost: asyncio's own cancellation (`wait_for`,
            # `timeout`) gets through shields, and leaves half a command on a live socket.
            await self._give_up(connection, self._outcome_unknown(error))
            if not isinstance(error, LOST):
                raise

    async def _read(self, connection: Connection, waiter: Waiter) -> None:
        connection.reading = True
        try:
            # Whoever else can go on does so first: those who were woken by the last read, and on a
            # busy event loop all others. What they leave time for need not be waited for.
            await self._loop.turn()
            if waiter.done or connection is not self._connection or self._is_to_write(connection):
                return
            data = connection.receive_now()
            if data is None:
                await self._wait(connection, waiter)
                return
            self._dispatch(connection, data)
            if not waiter.done:
                # Trio shuffles a turn: those who were woken have one to themselves.
                await self._loop.turn()
        except LOST as error:
            await self._give_up(connection, self._outcome_unknown(error))
        finally:
            connection.reading = False

    async def _wait(self, connection: Connection, waiter: Waiter) -> None:
        """Wait for something to read, until there is a reason to look up from that."""
        incoming = connection.incoming
        deadline = connection.silence_ends(self._timeout, self._keepalive)
        waiter.on_resume = incoming.look_up
        try:
            await incoming.hear(deadline, partial(self._dispatch, connection))
        finally:
            waiter.on_resume = None
        if not waiter.done and self._loop.time() >= incoming.deadline:
            await self._on_silence(connection)

    def _is_to_write(self, connection: Connection) -> bool:
        unsent = self._unsent.slots
        if not unsent or connection.writing or connection.retiring:
            return False
        return not connection.gathering or self._unsent.prompt or len(unsent) >= ENOUGH

    def _is_full(self, connection: Connection) -> bool:
        """Whether a write need not wait for others to join it."""
        if connection.gathering or self._unsent.prompt:
            return True
        return len(next(iter(self._unsent.slots)).packed) >= FULL

    async def _restore(self, waiter: Waiter, give_up_at: float) -> None:
        if self._closed:
            raise self._was_closed()
        self._loop = primitives()
        if give_up_at == inf:
            give_up_at = self._loop.time() + self._patience
        if self._connecting:
            await self._park(waiter, give_up_at)
            if self._connection is None and self._loop.time() >= give_up_at:
                raise self._dialer.unreachable()
            return
        self._connecting = True
        try:
            connection = await self._dialer.dial(give_up_at)
        finally:
            self._connecting = False
        if self._closed:
            await connection.aclose()
            return
        self._connection = connection
        self._connected_at = self._loop.time()
        # The table of channels is the truth; what was queued for the old connection is void.
        batches = self._unsent.take_batches()
        for channel in self._channels:
            self._unsent.ask(channel)
        for batch in batches:
            self._unsent.add(batch)

    async def _park(self, waiter: Waiter, until: float) -> None:
        bell = self._loop.bell()
        waiter.on_resume = bell.set
        self._parked[waiter] = None
        try:
            if until == inf:
                await bell.wait()
            else:
                with anyio.CancelScope(deadline=until):
                    await bell.wait()
        finally:
            self._parked.pop(waiter, None)
            waiter.on_resume = None

    def _hand_over(self) -> None:
        """See that somebody takes a role that is vacant and needed."""
        connection = self._connection
        if connection is None:
            if not self._connecting:
                self._resume_one()
        elif self._unsent.slots and not (connection.writing or connection.gathering):
            # With nobody parked it is the reader itself whose command is not sent yet: it
            # came while another one wrote. Let it look up from the socket.
            if not self._resume_one():
                connection.incoming.look_up()
        elif not connection.reading:
            self._resume_one()

    def _resume_one(self) -> bool:
        if not self._parked:
            return False
        # The one who came last has longest to wait, so it can lead for longest.
        waiter, _ = self._parked.popitem()
        waiter.resume()
        return True

    def _resume_all(self) -> None:
        parked, self._parked = self._parked, {}
        for waiter in parked:
            waiter.resume()

    def _dispatch(self, connection: Connection, data: bytes) -> None:
        self._reads += 1
        pipeline = connection.pipeline
        answered = bool(pipeline.due)
        for reply in connection.replies(data):
            if type(reply) is PushNotification:
                self._take_push(connection, reply)
            else:
                pipeline.accept(reply)
        connection.heard(self._timeout, self._keepalive, answered=answered)

    def _take_push(self, connection: Connection, push: list[Any]) -> None:
        kind: bytes = push[0]
        if kind == b"message":
            self._channels.publish(push[1], push[2])
        elif kind in {b"subscribe", b"unsubscribe"}:
            connection.pipeline.confirm(kind, push[1])
            self._dialer.settle()
        # Other kinds (invalidations) were not asked for.

    async def _on_silence(self, connection: Connection) -> None:
        if connection.pipeline.due and not connection.doubted:
            # Perhaps it was not the server but this event loop that stood still, and the answer
            # is in the socket: the next read, a short one, will tell.
            connection.doubted = True
        elif connection.pipeline.due:
            await self._give_up(connection, self._silent())
        elif connection.alive:
            connection.alive = False
        else:
            self._unsent.add(Batch((("PING",),), idempotent=False))

    async def _give_up(self, connection: Connection, error: known.RedisError) -> None:
        self._lose(connection, error)
        await connection.aclose()

    def _lose(self, connection: Connection, error: known.RedisError) -> None:
        """This connection is broken: who must know, and what is to be sent again."""
        if connection is not self._connection:
            return
        self._connection = None
        again: list[Batch] = []
        for batch in connection.pipeline.drain():
            if batch.idempotent and not batch.abandoned:
                batch.restart()
                again.append(batch)
            else:
                batch.fail(error)
        self._unsent.put_back(again)
        self._channels.lose()
        self._resume_all()

    def _outcome_unknown(self, cause: BaseException) -> known.ConnectionError:
        text = str(cause) or type(cause).__name__
        return known.ConnectionError(
            f"lost the connection to Redis at {self._shown} ({text}): whether the command was "
            "executed is not known; look before you send it again"
        )

    def _silent(self) -> known.TimeoutError:
        return known.TimeoutError(
            f"Redis at {self._shown} said nothing for {self._timeout:g} s: whether the command "
            "was executed is not known; look before you send it again"
        )

    def _was_closed(self) -> known.ConnectionError:
        return known.ConnectionError(f"the link to Redis at {self._shown} was closed")
