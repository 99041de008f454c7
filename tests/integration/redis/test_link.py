"""The link on real servers: what it connects with, and what it survives."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from redis import exceptions as known

from tests.support.cancel import cancel_everywhere
from tests.support.servers import RedisServer, free_port
from upnext.redis.exchange import FULL
from upnext.redis.link import Link, Waiter

MakeLink = Callable[..., Link]
Start = Callable[..., RedisServer]


def nothing(*_: object) -> None:
    pass


@pytest.fixture(params=["redis", "valkey"])
def any_kind_of_server(request: pytest.FixtureRequest, start_server: Start) -> RedisServer:
    return start_server(request.param, tcp=True)


async def test_replies_come_as_resp3_has_them(any_server: RedisServer, make_link: MakeLink) -> None:
    link = make_link(any_server.url, name="upnext test")
    assert await link.execute("PING") == b"PONG"
    assert await link.execute("GET", "none") is None
    assert await link.execute("HSET", "h", "a", 1) == 1
    assert await link.execute("HGETALL", "h") == {b"a": b"1"}
    assert await link.execute("CLIENT", "GETNAME") == b"upnext-test"
    with pytest.raises(known.ResponseError, match="WRONGTYPE"):
        await link.execute("LPUSH", "h", 1)
    large = b"x" * 3_000_000
    await link.execute("SET", "large", large)
    assert await link.execute("GET", "large") == large


async def test_a_command_that_fills_a_write_waits_for_nobody_to_join(
    any_server: RedisServer, make_link: MakeLink
) -> None:
    link = make_link(any_server.url)
    await link.execute("PING")
    before = link.statistics().writes
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(link.execute, "ECHO", "x" * FULL)
    assert link.statistics().writes - before == 3


async def test_a_subscription_and_its_message_share_the_socket(
    any_server: RedisServer, make_link: MakeLink
) -> None:
    link = make_link(any_server.url)
    heard: list[bytes] = []
    waiter = Waiter()

    def on_message(payload: bytes) -> None:
        heard.append(payload)
        if len(heard) == 100:
            waiter.wake()

    subscription = link.subscribe("c", on_message, nothing)
    replies = await link.execute_many([("PUBLISH", "c", n) for n in range(99)])
    assert replies == [1] * 99
    assert link.statistics().writes == 1
    with any_server.client() as outside:
        outside.publish("c", 99)
    await link.attend(waiter)
    assert heard == [b"%d" % n for n in range(100)]
    subscription.close()
    assert await link.execute("PUBLISH", "c", "nobody") == 0


async def test_many_tasks_share_one_socket(any_server: RedisServer, make_link: MakeLink) -> None:
    link = make_link(any_server.url)

    async def caller(name: int) -> None:
        for n in range(50):
            word = f"{name}:{n}"
            assert await link.execute("ECHO", word) == word.encode()

    async with anyio.create_task_group() as group:
        for name in range(50):
            group.start_soon(caller, name)
    with any_server.client() as outside:
        names = [client["name"] for client in outside.client_list()]
    assert names.count("upnext") == 1


async def test_user_password_and_database_come_from_the_url(
    start_server: Start, make_link: MakeLink
) -> None:
    server = start_server(tcp=True)
    with server.client() as outside:
        outside.execute_command("ACL", "SETUSER", "me", "on", ">s:cret", "~*", "+@all", "&ok")
        outside.execute_command("ACL", "SETUSER", "default", ">other")
    url = server.tcp_url.replace("redis://", "redis://me:s%3Acret@").replace("/0", "/3")
    link = make_link(url)
    await link.execute("SET", "a", "b")
    assert await link.execute("ACL", "WHOAMI") == b"me"
    assert (await link.execute("CLIENT", "INFO")).split(b" db=")[1].startswith(b"3 ")
    refused = link.subscribe("forbidden", nothing, nothing)
    assert await link.execute_many([("ECHO", "a"), ("ECHO", "b")]) == [b"a", b"b"]
    with pytest.raises(known.NoPermissionError, match="ACL SETUSER"):
        await refused.ready()

    unix = make_link(server.url.replace("unix://", "unix://:other@") + "?db=3")
    assert await unix.execute("GET", "a") == b"b"
    for wrong in (server.tcp_url, url.replace("cret", "wrong")):
        with pytest.raises(known.AuthenticationError, match="check the user and password"):
            await make_link(wrong).execute("PING")
    with pytest.raises(known.ResponseError, match="fewer databases"):
        await make_link(server.url.replace("unix://", "unix://:other@") + "?db=99").execute("PING")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl program on this machine")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "localhost.crt", folder / "localhost.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_tls_trusts_only_whom_it_was_told_to(
    start_server: Start, make_link: MakeLink, certificate: tuple[Path, Path]
) -> None:
    port = free_port()
    server = start_server(
        options=(
            *("--tls-port", str(port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(certificate[0]), "--tls-key-file", str(certificate[1])),
            *("--tls-ca-cert-file", str(certificate[0])),
        )
    )
    url = f"rediss://localhost:{port}/0"
    link = make_link(f"{url}?ssl_ca_certs={certificate[0]}")
    large = b"x" * 1_000_000
    await link.execute("SET", "a", large)
    waiter = Waiter()
    link.subscribe("c", lambda _: waiter.wake(), nothing)
    await link.execute("PUBLISH", "c", "x")
    await link.attend(waiter)
    assert await link.execute("GET", "a") == large
    assert await make_link(f"{url}?ssl_cert_reqs=none").execute("PING") == b"PONG"
    with pytest.raises(known.ConnectionError, match="self-signed certificate"):
        await make_link(url, patience=1000).execute("PING")
    with server.client() as outside:
        outside.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await link.execute("STRLEN", "a", idempotent=True) == len(large)


async def test_a_server_killed_and_restarted_is_found_again(
    start_server: Start, make_link: MakeLink
) -> None:
    server = start_server(append_only=True)
    link = make_link(server.url, patience=30)
    gaps: list[int] = []
    heard: list[bytes] = []
    await link.subscribe("c", heard.append, lambda: gaps.append(1)).ready()
    await link.execute("SET", "a", 1)
    server.kill()
    replies: list[object] = []

    async def call() -> None:
        replies.append(await link.execute("GET", "a", idempotent=True))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(call)
        await anyio.to_thread.run_sync(server.start)
    assert replies == [b"1"] * 10
    assert await link.execute("PUBLISH", "c", "x") == 1
    assert (gaps, heard) == ([1], [b"x"])


async def test_a_restart_while_idle_costs_nobody_a_command(
    any_kind_of_server: RedisServer, make_link: MakeLink
) -> None:
    server = any_kind_of_server
    for url in (server.url, server.tcp_url):
        link = make_link(url)
        await link.execute("PING")
        await anyio.to_thread.run_sync(server.restart)
        # Not idempotent, yet not lost: that the old connection is gone is seen before writing.
        assert await link.execute("INCR", "n") == 1
        assert link.statistics().reconnects == 1


async def test_connections_killed_again_and_again_lose_no_subscription(
    any_server: RedisServer, make_link: MakeLink
) -> None:
    link = make_link(any_server.url)
    heard: list[bytes] = []
    gaps: list[int] = []
    await link.subscribe("c", heard.append, lambda: gaps.append(1)).ready()
    with any_server.client() as outside:
        for n in range(1, 101):
            assert await link.execute("ECHO", n, idempotent=True) == b"%d" % n
            if n % 5 == 0:
                outside.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                outside.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                assert await link.execute("PUBLISH", "c", n, idempotent=True) == 1
    assert heard == [b"%d" % n for n in range(5, 101, 5)]
    assert len(gaps) == 20
    assert link.statistics().reconnects == 20


async def test_a_frozen_server_times_out_and_goes_on(
    start_server: Start, make_link: MakeLink
) -> None:
    server = start_server()
    link = make_link(server.url, timeout=0.2, patience=0.5)
    await link.execute("PING")
    server.pause()
    with pytest.raises(known.TimeoutError, match=r"said nothing for 0\.2 s"):
        await link.execute("INCR", "n")
    with pytest.raises(known.ConnectionError, match=r"no answer within 0\.2 s"):
        await link.execute("INCR", "n")
    server.resume()
    assert await link.execute("PING") == b"PONG"


async def test_a_full_server_says_so(start_server: Start, make_link: MakeLink) -> None:
    link = make_link(start_server(options=("--maxmemory", "1")).url)
    with pytest.raises(known.OutOfMemoryError, match="raise maxmemory"):
        await link.execute("SET", "a", "b")
    replies = await link.execute_many([("GET", "a"), ("SET", "a", "b"), ("ECHO", "x")])
    assert [replies[0], replies[2]] == [None, b"x"]
    assert isinstance(replies[1], known.OutOfMemoryError)


async def test_a_server_that_cannot_save_says_so(start_server: Start, make_link: MakeLink) -> None:
    server = start_server(options=("--dbfilename", "dump.rdb"))
    link = make_link(server.url)
    await link.execute("CONFIG", "SET", "save", "1 1")
    await link.execute("SET", "a", "b")
    # No file can take the place of a folder, so this save fails although root may do anything.
    (server.directory / "dump.rdb").mkdir()
    await link.execute("BGSAVE")
    with anyio.fail_after(20):
        while b"rdb_last_bgsave_status:err" not in await link.execute("INFO", "persistence"):
            pass
    with pytest.raises(known.ResponseError, match="MISCONF") as caught:
        await link.execute("SET", "a", "c")
    assert "free disk space" in str(caught.value)


async def test_a_busy_server_is_waited_for(start_server: Start, make_link: MakeLink) -> None:
    server = start_server(options=("--busy-reply-threshold", "50"))
    link = make_link(server.url, patience=30)
    waiter = Waiter()
    spin = "local t = redis.call('TIME')[1] while redis.call('TIME')[1] - t < 2 do end"

    def block() -> None:
        with server.client() as outside:
            outside.eval(spin, 0)

    def wait_until_busy() -> None:
        with server.client() as outside:
            while not isinstance(outside.pipeline(False).get("a").execute(False)[0], Exception):
                pass

    async with anyio.create_task_group() as group:
        await link.execute("PING")
        group.start_soon(anyio.to_thread.run_sync, block)
        with anyio.fail_after(10):
            await anyio.to_thread.run_sync(wait_until_busy)
        link.subscribe("c", lambda _: waiter.wake(), nothing)
        assert await link.execute("INCR", "n") == 1
        await link.execute("PUBLISH", "c", "x")
        await link.attend(waiter)


async def test_a_replica_that_becomes_primary_is_written_to(
    start_server: Start, make_link: MakeLink
) -> None:
    primary, replica = start_server(tcp=True), start_server()
    link = make_link(replica.url, patience=30)
    reconnected = anyio.Event()
    await link.subscribe("c", nothing, reconnected.set).ready()
    with replica.client() as outside:
        outside.execute_command("REPLICAOF", "127.0.0.1", primary.port)
    hurried = make_link(replica.url, patience=0.1)
    with pytest.raises(known.ReadOnlyError, match="must name the primary"):
        await hurried.execute("INCR", "n")
    async with anyio.create_task_group() as group:
        group.start_soon(link.execute, "INCR", "n")
        with anyio.fail_after(10):
            await reconnected.wait()
        with replica.client() as outside:
            outside.execute_command("REPLICAOF", "NO", "ONE")
    assert await link.execute("GET", "n") == b"1"


async def test_cancelled_at_every_checkpoint_on_a_real_socket(
    any_server: RedisServer, make_link: MakeLink
) -> None:
    for url in (any_server.url, any_server.tcp_url):
        link = make_link(url)
        await link.execute("PING")

        async def run() -> None:
            waiter = Waiter()
            subscription = link.subscribe("c", lambda _: waiter.wake(), nothing)  # noqa: B023
            try:
                await link.execute_many([("ECHO", "mine"), ("PUBLISH", "c", "x")])  # noqa: B023
                await link.attend(waiter)  # noqa: B023
            finally:
                subscription.close()

        async for n in cancel_everywhere(run):
            assert await link.execute("ECHO", n) == b"%d" % n
        assert link.statistics().epoch == 1
        assert link.statistics().pending == 0
