"""Makes connections: one try after the other, further and further apart, until patience is over."""

from __future__ import annotations

import re
import ssl

import anyio
from anyio.abc import ByteStream
from redis import exceptions as known

from upnext.redis.connection import LOST, Connection, Opener
from upnext.redis.faults import NOT_EXECUTED
from upnext.redis.retry import Backoff
from upnext.redis.url import Address

_PASSING = (*LOST, *NOT_EXECUTED, known.ConnectionError)
"""What may be better at the next try. The rest (wrong password, no such database) is not."""

_FINAL = (known.AuthenticationError, ssl.SSLCertVerificationError)
"""Subclasses of the above that are not."""


class Dialer:
    """Owns the way to one server: how often it failed, and when it may be tried again.

    Attributes:
        connections: How many connections were made.
        failures: How often it was tried since something was last answered.
    """

    def __init__(
        self, address: Address, name: str, timeout: float, backoff: Backoff, opener: Opener
    ) -> None:
        self.connections = 0
        self._address = address
        # The server takes no blanks and no control characters in a name.
        self._name = re.sub(r"[^!-~]", "-", name)
        self._timeout = timeout
        self._backoff = backoff
        self._opener = opener
        self.failures = 0
        self._tried_at = 0.0
        self._error: Exception | None = None

    async def dial(self, give_up_at: float) -> Connection:
        """Connect and introduce ourselves.

        The first try after a connection that worked is made at once.

        Args:
            give_up_at: When to stop trying, on the event loop's clock.

        Raises:
            redis.exceptions.ConnectionError: It did not work until then.
            redis.exceptions.AuthenticationError: The server knows no such user or password.
            redis.exceptions.ResponseError: The server refused the protocol or the database.
        """
        while True:
            next_try = self._tried_at + self._backoff.delay(self.failures)
            if self._error is not None and max(next_try, anyio.current_time()) >= give_up_at:
                raise self.unreachable()
            await anyio.sleep(max(0.0, next_try - anyio.current_time()))
            self._tried_at = anyio.current_time()
            # Counts until a command was answered: a server that takes connections and
            # drops them again is approached slower and slower, too.
            self.failures += 1
            try:
                with anyio.fail_after(self._timeout):
                    return await self._connect()
            except _FINAL as error:
                self._error = error
                if isinstance(error, known.RedisError):
                    raise
                raise self.unreachable() from error
            except _PASSING as error:
                self._error = error

    def settle(self) -> None:
        """The server works: what failed before counts no more."""
        self.failures = 0
        self._error = None

    def unreachable(self) -> known.ConnectionError:
        """The error for those who have waited long enough, in one line."""
        cause = str(self._error or "no answer yet").partition("\n")[0]
        if isinstance(self._error, TimeoutError):
            cause = f"no answer within {self._timeout:g} s"
        return known.ConnectionError(
            f"cannot reach Redis at {self._address.describe()}: {cause or type(self._error)}; "
            "see that the server runs and that the Redis URL is right"
        )

    async def _connect(self) -> Connection:
        stream = await self._opener(self._address)
        connection = await self._introduce(stream)
        self.connections += 1
        return connection

    async def _introduce(self, stream: ByteStream) -> Connection:
        connection = Connection(stream, self.connections + 1)
        try:
            await connection.introduce(self._address, self._name)
        except BaseException:  # cancellation included: nobody else knows this socket
            await connection.aclose()
            raise
        return connection
