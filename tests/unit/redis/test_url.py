from __future__ import annotations

import ssl

import pytest

from upnext.redis.url import Address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost:6379/0"),
        ("redis://host:7000/3", "redis://host:7000/3"),
        ("redis://host?db=4", "redis://host:6379/4"),
        ("redis://:secret@host", "redis://host:6379/0"),
        ("redis://me:secret@host/1", "redis://me@host:6379/1"),
        ("redis://me:s%40cret@host", "redis://me@host:6379/0"),
        ("redis://[::1]:7000/1", "redis://[::1]:7000/1"),
        ("rediss://host", "rediss://host:6379/0"),
        ("unix:///tmp/r.sock", "unix:///tmp/r.sock"),
        ("unix://me:secret@/tmp/r.sock?db=2", "unix://me@/tmp/r.sock?db=2"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    address = Address.parse(url)
    assert address.describe() == shown
    assert "cret" not in repr(address)
    assert hash(address) == hash(Address.parse(url))


def test_the_parts_of_an_address() -> None:
    address = Address.parse("redis://me:s%40cret@host:7000/3")
    assert (address.host, address.port, address.database) == ("host", 7000, 3)
    assert (address.username, address.password) == ("me", "s@cret")
    assert address.path is None
    assert Address.parse("unix:///tmp/r.sock").path == "/tmp/r.sock"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "scheme"),
        ("localhost:6379", "scheme"),
        ("http://me:secret@host", "scheme"),
        ("redis://host:port", "port"),
        ("redis://host/jobs", "the database must be a number, not 'jobs'"),
        ("redis://host?db=x", "Invalid value for 'db'"),
        ("redis://host?colour=red", "colour"),
        ("unix://", "path of the socket is missing"),
        ("rediss://host?ssl_cert_reqs=maybe", "ssl_cert_reqs=maybe"),
    ],
)
def test_a_malformed_url_is_one_line_that_says_what_to_write(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match="is no Redis URL") as caught:
        Address.parse(url)
    message = str(caught.value)
    assert reason in message
    assert "write redis://" in message
    assert "\n" not in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("query", "mode", "checks_name"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=required", ssl.CERT_REQUIRED, True),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("?ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
    ],
)
def test_tls_options_mean_what_they_mean_to_redis_py(
    query: str, mode: ssl.VerifyMode, checks_name: bool
) -> None:
    context = Address.parse(f"rediss://host{query}").tls_context()
    assert (context.verify_mode, context.check_hostname) == (mode, checks_name)


def test_a_blocking_client_has_timeouts_unless_told_otherwise() -> None:
    address = Address.parse("redis://me:secret@host:7000/3")
    options = address.blocking_client().get_connection_kwargs()
    assert (options["host"], options["port"], options["db"]) == ("host", 7000, 3)
    assert options["socket_timeout"] == 5.0
    client = address.blocking_client(socket_timeout=1.5)
    assert client.get_connection_kwargs()["socket_timeout"] == 1.5
