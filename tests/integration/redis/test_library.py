"""Functions on real servers, called with and without await."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import anyio
import pytest
import redis
from redis import exceptions as known

from tests.support.proxy import Proxy
from tests.support.servers import RedisServer
from upnext.redis.blocking import BlockingCaller
from upnext.redis.library import Call, Caller, Library
from upnext.redis.link import Link
from upnext.redis.url import Address

MakeLink = Callable[..., Link]

LIBRARY = Library(
    "probe_1",
    """#!lua name=probe_1
local function add(keys, args) return redis.call('RPUSH', keys[1], args[1]) end
local function same(keys, args) return args[1] end
redis.register_function('probe_1_add', add)
redis.register_function{function_name='probe_1_same', callback=same, flags={'no-writes'}}
redis.register_function{function_name='probe_1_map', callback=function()
  redis.setresp(3)
  return {map={a=1}}
end, flags={'no-writes'}}
""",
)


@pytest.fixture
def client(any_server: RedisServer) -> Iterator[redis.Redis]:
    with Address.parse(any_server.url).blocking_client() as client:
        yield client


async def test_the_library_is_loaded_when_it_is_missing(
    any_server: RedisServer, make_link: MakeLink
) -> None:
    caller = Caller(make_link(any_server.url), LIBRARY)
    assert await caller.call("add", ["l"], ["a"]) == 1
    assert await caller.call("map") == {b"a": 1}
    assert await caller.call_many([Call("same", (), (n,)) for n in range(3)]) == [b"0", b"1", b"2"]


async def test_functions_flushed_in_the_midst_of_a_pipeline_double_nothing(
    any_server: RedisServer, make_link: MakeLink
) -> None:
    link = make_link(any_server.url)
    caller = Caller(link, LIBRARY)
    await caller.call("same", (), ["warm"])
    stop = threading.Event()

    def flush() -> None:
        with any_server.client() as outside:
            while not stop.is_set():
                outside.execute_command("FUNCTION", "FLUSH")
                stop.wait(0.005)

    added = 0
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, flush)
        for _ in range(50):
            calls = [Call("add", ["l"], [n]) for n in range(50)]
            for reply in await caller.call_many(calls, return_exceptions=True):
                if isinstance(reply, Exception):
                    assert "Function not found" in str(reply)  # flushed again in between
                else:
                    added += 1
        stop.set()
    assert await link.execute("LLEN", "l") == added
    assert added >= 2400, "a flush seldom hits three times in a row"


def test_many_threads_share_a_blocking_caller(any_server: RedisServer, client: redis.Redis) -> None:
    caller = BlockingCaller(client, LIBRARY)
    errors: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for n in range(50):
                word = f"{name}:{n}".encode()
                assert caller.call("same", (), [word]) == word
                assert len(caller.call_many([Call("add", ["l"], [n])] * 3)) == 3
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert client.llen("l") == 8 * 50 * 3
    assert caller.call("map") == {b"a": 1}
    assert caller.call_many([]) == []


async def test_a_blocking_caller_works_inside_an_event_loop(
    any_server: RedisServer, client: redis.Redis
) -> None:
    caller = BlockingCaller(client, LIBRARY)
    for n in range(3):
        assert caller.call("add", ["l"], ["a"]) == n + 1


def test_a_blocking_caller_gives_the_links_errors(client: redis.Redis, start_server) -> None:
    client.set("text", "x")
    caller = BlockingCaller(client, LIBRARY)
    with pytest.raises(known.ResponseError, match="WRONGTYPE"):
        caller.call("add", ["text"], ["a"])
    replies = caller.call_many(
        [Call("add", ["text"], ["a"]), Call("same", (), ["b"])], return_exceptions=True
    )
    assert isinstance(replies[0], known.ResponseError)
    assert replies[1] == b"b"

    full: RedisServer = start_server(options=("--maxmemory", "1"))
    with (
        Address.parse(full.url).blocking_client() as client,
        pytest.raises(known.OutOfMemoryError, match="raise maxmemory"),
    ):
        BlockingCaller(client, LIBRARY).call("add", ["l"], ["a"])


def test_a_lost_reply_is_repeated_only_where_that_is_safe(redis_server: RedisServer) -> None:
    redis_server.flush()
    with (
        Proxy("127.0.0.1", redis_server.port) as proxy,
        Address.parse(proxy.url).blocking_client(socket_timeout=0.2) as client,
    ):
        caller = BlockingCaller(client, LIBRARY, patience=5)
        caller.call("same", (), ["warm"])
        for _ in range(6):
            proxy.swallow = True
            with pytest.raises(known.TimeoutError):
                caller.call("add", ["l"], ["a"])
            proxy.swallow = False
            assert caller.call("same", (), ["x"]) == b"x"

        def heal() -> None:
            proxy.taken.wait()
            proxy.swallow = False

        proxy.taken.clear()
        proxy.swallow = True
        healer = threading.Thread(target=heal)
        healer.start()
        assert caller.call("same", (), ["again"], idempotent=True) == b"again"
        healer.join()
    with redis_server.client() as outside:
        assert outside.llen("l") == 6


def test_a_blocking_caller_waits_for_a_restart_but_not_for_ever(start_server) -> None:
    server: RedisServer = start_server()
    with Address.parse(server.url).blocking_client() as client:
        caller = BlockingCaller(client, LIBRARY)
        assert caller.call("add", ["l"], ["a"]) == 1
        server.restart()
        assert caller.call("add", ["l"], ["a"]) == 1
        server.kill()
        restart = threading.Thread(target=server.start)
        restart.start()
        assert caller.call("add", ["l"], ["a"]) == 1  # never sent before it was back
        restart.join()
        server.kill()
        with pytest.raises(known.ConnectionError):
            BlockingCaller(client, LIBRARY, patience=0.1).call("same", (), ["a"])


def test_as_many_threads_wait_as_there_are(any_server: RedisServer) -> None:
    """More than the 100 connections that redis-py has in a pool unless told otherwise."""
    with Address.parse(any_server.url).blocking_client() as client:
        pool = client.connection_pool
        taken = [pool.get_connection() for _ in range(150)]
        for connection in taken:
            pool.release(connection)
