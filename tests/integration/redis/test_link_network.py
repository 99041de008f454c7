"""The link behind a network that cuts, swallows and dribbles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import pytest
from redis import exceptions as known

from tests.support.proxy import Proxy
from tests.support.servers import RedisServer
from upnext.redis.link import Link, Waiter

MakeLink = Callable[..., Link]


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    redis_server.flush()
    with Proxy("127.0.0.1", redis_server.port) as proxy:
        yield proxy


async def test_a_swallowed_reply_never_doubles_what_is_not_idempotent(
    proxy: Proxy, redis_server: RedisServer, make_link: MakeLink
) -> None:
    link = make_link(proxy.url, timeout=0.1)
    for _ in range(6):
        await link.execute("PING")
        proxy.swallow = True
        with pytest.raises(known.TimeoutError):
            await link.execute("XADD", "s", "*", "a", 1)
        proxy.swallow = False
    with redis_server.client() as outside:
        assert outside.xlen("s") == 6


async def test_a_swallowed_reply_is_asked_for_again_where_that_is_safe(
    proxy: Proxy, redis_server: RedisServer, make_link: MakeLink
) -> None:
    link = make_link(proxy.url, timeout=0.2)
    await link.execute("PING")
    proxy.swallow = True
    async with anyio.create_task_group() as group:

        async def heal() -> None:
            await anyio.to_thread.run_sync(proxy.taken.wait)
            proxy.swallow = False

        group.start_soon(heal)
        commands = [("SADD", "s", n) for n in range(10)]
        replies = await link.execute_many(commands, idempotent=True)
    assert replies == [0] * 10, "the first round had been executed"
    assert link.statistics().commands == 21
    with redis_server.client() as outside:
        assert outside.scard("s") == 10


async def test_a_half_open_connection_is_noticed_while_waiting_for_a_push(
    proxy: Proxy, redis_server: RedisServer, make_link: MakeLink
) -> None:
    link = make_link(proxy.url, timeout=0.1, keepalive=0.1, patience=30)
    waiter = Waiter()
    await link.subscribe("c", lambda _: None, waiter.wake).ready()
    proxy.swallow = True
    async with anyio.create_task_group() as group:

        async def heal() -> None:
            await anyio.to_thread.run_sync(proxy.taken.wait)
            proxy.swallow = False

        group.start_soon(heal)
        with anyio.fail_after(20):
            await link.attend(waiter)
    assert link.statistics().reconnects >= 1


async def test_a_reset_under_load_gives_everyone_their_own_reply_or_an_error(
    proxy: Proxy, make_link: MakeLink
) -> None:
    link = make_link(proxy.url)
    await link.execute("PING")
    unknown = 0

    async def caller(name: int) -> None:
        nonlocal unknown
        for n in range(40):
            word = f"{name}:{n}"
            idempotent = n % 2 == 0
            try:
                assert await link.execute("ECHO", word, idempotent=idempotent) == word.encode()
            except known.ConnectionError:
                assert not idempotent
                unknown += 1
            if name == 0 and n % 10 == 9:
                proxy.reset()

    async with anyio.create_task_group() as group:
        for name in range(20):
            group.start_soon(caller, name)
    assert link.statistics().reconnects >= 3
    assert unknown <= 20 * link.statistics().reconnects


async def test_a_large_write_may_take_longer_than_the_timeout(
    proxy: Proxy, make_link: MakeLink
) -> None:
    proxy.delay = 0.005  # per 64 KiB: 30 MB take more than two seconds
    link = make_link(proxy.url, timeout=0.7)
    large = b"x" * 30_000_000
    assert await link.execute("SET", "large", large) == b"OK"
    assert link.statistics().epoch == 1
    proxy.delay = 0
    assert await link.execute("STRLEN", "large") == len(large)


@pytest.mark.parametrize("socket", ["unix", "tcp"])
async def test_a_blocked_event_loop_is_not_taken_for_a_silent_server(
    redis_server: RedisServer, make_link: MakeLink, socket: str
) -> None:
    link = make_link(
        redis_server.url if socket == "unix" else redis_server.tcp_url, timeout=0.1, keepalive=0.1
    )
    replies: list[bytes] = []

    async def call() -> None:
        replies.append(await link.execute("ECHO", "a"))

    await link.execute("PING")
    sent = link.statistics().commands
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.fail_after(5):
            while link.statistics().commands == sent:
                await anyio.lowlevel.checkpoint()
        time.sleep(0.3)  # noqa: ASYNC251 - this is what users' code does
    assert replies == [b"a"]
    assert link.statistics().epoch == 1


async def test_replies_that_dribble_in_byte_by_byte_are_whole(
    proxy: Proxy, make_link: MakeLink
) -> None:
    proxy.chunk = 1
    link = make_link(proxy.url)
    heard: list[bytes] = []
    link.subscribe("c", heard.append, lambda: None)
    replies = await link.execute_many([("PUBLISH", "c", n) for n in range(20)])
    assert replies == [1] * 20
    assert heard == [b"%d" % n for n in range(20)]
