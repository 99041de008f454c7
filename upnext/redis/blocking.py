"""Calls a library's functions from code that does not await: any thread, with or without a loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol, cast

import redis
from redis import exceptions as known
from redis.backoff import NoBackoff
from redis.retry import Retry

from upnext.redis.faults import NOT_EXECUTED, with_advice
from upnext.redis.library import (
    LOADS,
    Call,
    Library,
    Word,
    allow_racing_loader,
    not_found,
    put,
    raise_first,
)
from upnext.redis.retry import Backoff


class _Connection(Protocol):
    """What is used of redis-py's connection, which has no annotations of its own."""

    def pack_commands(self, commands: Sequence[Sequence[Word]]) -> list[bytes]: ...
    def send_packed_command(self, command: list[bytes]) -> None: ...
    def read_response(self, *, disable_decoding: bool) -> Any: ...
    def disconnect(self) -> None: ...


class _Pool(Protocol):
    """What is used of redis-py's connection pool."""

    def get_connection(self) -> _Connection: ...
    def release(self, connection: _Connection) -> None: ...


_LOST = (known.ConnectionError, known.TimeoutError)


class BlockingCaller:
    """Calls a library's functions over redis-py's blocking client.

    Thread-safe: each call takes a connection of the client's pool for itself. Inside an event
    loop it works, too, and blocks that loop for as long as it takes.

    Args:
        client: The client, whose own resending is switched off: redis-py sends a command again
            by itself when its reply got lost, whatever the command does.
        library: The functions.
        patience: Seconds after which a call that cannot be sent gives up.
        backoff: How long to wait between tries.
    """

    def __init__(
        self,
        client: redis.Redis,
        library: Library,
        *,
        patience: float = 10.0,
        backoff: Backoff | None = None,
    ) -> None:
        client.set_retry(Retry(NoBackoff(), 0))
        self._pool = cast("_Pool", client.connection_pool)
        self._library = library
        self._patience = patience
        self._backoff = backoff or Backoff()

    def call(
        self,
        verb: str,
        keys: Sequence[Word] = (),
        args: Sequence[Word] = (),
        *,
        idempotent: bool = False,
    ) -> Any:
        """Call one function and return its reply.

        Args:
            verb: The function's name without the library's.
            keys: The keys it touches.
            args: Its other arguments.
            idempotent: It may be called again when its outcome is unknown.

        Raises:
            redis.exceptions.RedisError: As :meth:`upnext.redis.link.Link.execute`.
        """
        (reply,) = self.call_many((Call(verb, keys, args),), idempotent=idempotent)
        return reply

    def call_many(
        self,
        calls: Sequence[Call],
        *,
        idempotent: bool = False,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Make several calls in one write; not a transaction.

        Args:
            calls: What to call.
            idempotent: All of it may be called again when its outcome is unknown.
            return_exceptions: Leave error replies in their place instead of raising the first.
        """
        if not calls:
            return []
        commands = [self._library.command(call) for call in calls]
        replies = self._execute(commands, idempotent)
        for _ in range(LOADS):
            if not (missing := not_found(replies)):
                break
            repeat = [self._library.load_command(), *[commands[i] for i in missing]]
            loaded, *again = self._execute(repeat, idempotent)
            allow_racing_loader(loaded)
            put(replies, missing, again)
        return replies if return_exceptions else raise_first(replies)

    def _execute(self, commands: Sequence[Sequence[Word]], idempotent: bool) -> list[Any]:
        give_up_at = time.monotonic() + self._patience
        replies = self._send(commands, idempotent, give_up_at)
        failures = 0
        while refused := [i for i, r in enumerate(replies) if isinstance(r, NOT_EXECUTED)]:
            failures += 1
            if not self._wait(failures, give_up_at):
                break
            again = [commands[i] for i in refused]
            put(replies, refused, self._send(again, idempotent, give_up_at))
        return replies

    def _send(
        self, commands: Sequence[Sequence[Word]], idempotent: bool, give_up_at: float
    ) -> list[Any]:
        failures = 0
        while True:
            sent = False
            try:
                connection = self._pool.get_connection()
                sent = True
                return self._converse(connection, commands)
            except known.AuthenticationError as error:
                raise with_advice(error) from error
            except _LOST:
                failures += 1
                if (sent and not idempotent) or not self._wait(failures, give_up_at):
                    raise

    def _converse(self, connection: _Connection, commands: Sequence[Sequence[Word]]) -> list[Any]:
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            replies = [_read(connection) for _ in commands]
        except BaseException:  # an interrupt included: unread replies must not meet a later caller
            connection.disconnect()
            raise
        else:
            if any(isinstance(reply, known.ReadOnlyError) for reply in replies):
                connection.disconnect()  # after a failover the address leads elsewhere
            return replies
        finally:
            self._pool.release(connection)

    def _wait(self, failures: int, give_up_at: float) -> bool:
        delay = self._backoff.delay(failures)
        if time.monotonic() + delay > give_up_at:
            return False
        time.sleep(delay)
        return True


def _read(connection: _Connection) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except known.ResponseError as error:
        return with_advice(error)
    except known.BusyLoadingError as error:  # a ConnectionError to redis-py, yet a reply
        return with_advice(error)
