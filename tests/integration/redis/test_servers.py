from __future__ import annotations

import contextlib

import pytest
import redis

from tests.support.servers import Kind, RedisServer, find_binary
from upnext.redis.link import PING
from upnext.redis.wire import pack


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_killed_server_comes_back_with_its_data(kind: Kind) -> None:
    if find_binary(kind) is None:
        pytest.skip(f"no {kind} server program on this machine")
    options = ("--appendfsync", "always")
    with RedisServer(kind, append_only=True, tcp=True, options=options) as server:
        with server.client() as client:
            client.set("a", "1")
        server.kill()
        with server.client() as client, pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        with server.client() as client:
            assert client.get("a") == b"1"
        with redis.Redis.from_url(server.tcp_url) as client:
            assert client.get("a") == b"1"


def test_a_paused_server_answers_only_once_it_is_resumed(start_server) -> None:
    server: RedisServer = start_server()
    server.pause()
    with server.client(socket_timeout=0.1, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


def test_flush_removes_keys_and_functions(any_server: RedisServer) -> None:
    code = "#!lua name=gone\nredis.register_function('gone_f', function() return 1 end)"
    with any_server.client() as client:
        client.set("a", "1")
        client.function_load(code)
        any_server.flush()
        assert client.dbsize() == 0
        assert client.function_list() == []


def test_a_ping_in_front_has_subscribers_told_first(any_server: RedisServer) -> None:
    """What `others_first` of a link relies on, for the better and never for what is right."""
    with contextlib.ExitStack() as stack:
        publisher = stack.enter_context(any_server.connect())
        # Many, so that the server is still writing to them if it wrote to the publisher first.
        subscribers = [stack.enter_context(any_server.connect()) for _ in range(30)]
        for subscriber in subscribers:
            subscriber.sendall(b"SUBSCRIBE c\r\n")
            assert subscriber.recv(1000)
            subscriber.setblocking(False)
        for n in range(50):
            publisher.sendall(pack((PING, ("PUBLISH", "c", n))))
            assert publisher.recv(1000) == b"+PONG\r\n:30\r\n"
            for subscriber in reversed(subscribers):
                assert subscriber.recv(1000).endswith(b"%d\r\n" % n)


async def test_both_backends_run(anyio_backend_name: str, redis_url: str) -> None:
    assert anyio_backend_name in {"asyncio", "trio"}
    assert redis_url.startswith("unix://")
