"""Where a server is: a Redis URL, parsed as redis-py parses it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any, Self, cast

import redis
import redis.connection
from attrs import field, frozen

HOW_TO_WRITE = (
    "write redis://[user:password@]host:6379/0, rediss://… for TLS, "
    "or unix:///path/to/redis.sock?db=0"
)

# redis-py leaves these without annotations.
_parse_url = cast("Callable[[str], dict[str, Any]]", getattr(redis.connection, "parse_url"))  # noqa: B009
_from_url = cast("Callable[..., redis.Redis]", getattr(redis.Redis, "from_url"))  # noqa: B009

_VERIFY = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


@frozen
class Address:
    """Where a server is and who asks. Hashable: one address, one link.

    Attributes:
        url: The URL as it was given, password included; use :meth:`describe` to show it.
        host: Name or IP address; None for a unix socket.
        port: TCP port.
        path: Path of the unix socket; None for TCP.
        username: The ACL user, or None for the default user.
        password: The password, or None.
        database: Number of the database.
        tls: True for ``rediss://``.
        tls_options: The ``ssl_…`` options of the query, as redis-py names them.
    """

    url: str = field(repr=False)
    host: str | None = None
    port: int = 6379
    path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: bool = False
    tls_options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a ``redis://``, ``rediss://`` or ``unix://`` URL.

        Args:
            url: The URL; user, password, database and redis-py's query options
                (``ssl_cert_reqs``, ``ssl_ca_certs``, …) may be part of it.

        Raises:
            ValueError: The URL is malformed; the message is one line that says what to write.
        """
        try:
            options = _parse(url)
        except (ValueError, TypeError, redis.RedisError) as error:
            raise ValueError(
                f"{_without_password(url)!r} is no Redis URL ({error}): {HOW_TO_WRITE}"
            ) from None
        path = options.get("path")
        return cls(
            url=url,
            host=None if path else options.get("host", "localhost"),
            port=options.get("port", 6379),
            path=path,
            username=options.get("username"),
            password=options.get("password"),
            database=options.get("db", 0),
            tls=url.startswith("rediss://"),
            tls_options=tuple(sorted((k, v) for k, v in options.items() if k.startswith("ssl_"))),
        )

    def describe(self) -> str:
        """The address without its password, for messages and logs."""
        user = f"{self.username}@" if self.username else ""
        if self.path is not None:
            query = f"?db={self.database}" if self.database else ""
            return f"unix://{user}{self.path}{query}"
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{user}{host}:{self.port}/{self.database}"

    def blocking_client(self, **options: Any) -> redis.Redis:
        """Make redis-py's blocking client for this address.

        Args:
            **options: Passed on to ``redis.Redis.from_url``; they win over the URL's own.
        """
        defaults: dict[str, Any] = {
            "protocol": 3,  # replies have the shapes the link gives them
            "socket_timeout": 5.0,
            "socket_connect_timeout": 5.0,
            # As many threads as wait: redis-py says 100, and that there are too many.
            "max_connections": 2**31,
        }
        return _from_url(self.url, **(defaults | options))

    def tls_context(self) -> ssl.SSLContext:
        """The TLS settings that ``tls_options`` ask for, with redis-py's meaning of each."""
        given = dict(self.tls_options)
        context = ssl.create_default_context()
        verify = str(given.get("ssl_cert_reqs") or "required").lower().removeprefix("cert_")
        context.check_hostname = verify != "none" and _is_true(
            given.get("ssl_check_hostname", True)
        )
        context.verify_mode = _VERIFY[verify]
        if given.get("ssl_ca_certs") or given.get("ssl_ca_path") or given.get("ssl_ca_data"):
            context.load_verify_locations(
                given.get("ssl_ca_certs"), given.get("ssl_ca_path"), given.get("ssl_ca_data")
            )
        if given.get("ssl_certfile"):
            context.load_cert_chain(
                given["ssl_certfile"], given.get("ssl_keyfile"), given.get("ssl_password")
            )
        if given.get("ssl_ciphers"):
            context.set_ciphers(given["ssl_ciphers"])
        return context


def _parse(url: str) -> dict[str, Any]:
    options: dict[str, Any] = dict(_parse_url(url))
    kind = options.pop("connection_class", redis.Connection)
    verify = options.get("ssl_cert_reqs")
    if verify is not None and str(verify).lower().removeprefix("cert_") not in _VERIFY:
        raise ValueError(f"ssl_cert_reqs={verify} is not none, optional or required")
    # redis-py drops a path it cannot read as a number, and then talks to database 0.
    _, _, rest = url.partition("://")
    _, _, database = rest.partition("?")[0].partition("/")
    if kind is not redis.UnixDomainSocketConnection and database and "db" not in options:
        raise ValueError(f"the database must be a number, not {database!r}")
    if kind is redis.UnixDomainSocketConnection and not options.get("path"):
        raise ValueError("the path of the socket is missing")
    kind(**options)  # opens nothing; refuses options that nobody knows
    return options


def _is_true(value: object) -> bool:
    return str(value).lower() not in {"false", "0", "no", "off"}


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", url)
