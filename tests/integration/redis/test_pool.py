"""The links of an event loop: found from anywhere, gone with the loop."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap

import anyio
import pytest
from redis import exceptions as known

from tests.support.servers import RedisServer
from upnext.redis.pool import close_links, current_link
from upnext.redis.url import Address


def clients(server: RedisServer) -> int:
    with server.client() as outside:
        return sum(client["name"] == "upnext" for client in outside.client_list())


async def test_one_link_per_address_until_it_is_closed(redis_server: RedisServer) -> None:
    address = Address.parse(redis_server.url)
    link = current_link(address)
    assert current_link(Address.parse(redis_server.url)) is link
    assert current_link(Address.parse(redis_server.tcp_url)) is not link
    assert await link.execute("PING") == b"PONG"
    await close_links()
    assert clients(redis_server) == 0
    with pytest.raises(known.ConnectionError, match="was closed"):
        await link.execute("PING")
    assert await current_link(address).execute("PING") == b"PONG"
    await close_links()


@pytest.mark.parametrize("loop", ["asyncio", "trio", "uvloop"])
@pytest.mark.parametrize("socket", ["unix", "tcp"])
def test_a_loop_that_ends_takes_its_links_along(
    redis_server: RedisServer, loop: str, socket: str
) -> None:
    address = Address.parse(redis_server.url if socket == "unix" else redis_server.tcp_url)

    async def main() -> int:
        return id(current_link(address)) if await current_link(address).execute("PING") else 0

    backend = "trio" if loop == "trio" else "asyncio"
    options = {"use_uvloop": loop == "uvloop"} if backend == "asyncio" else {}
    for _ in range(3):
        assert anyio.run(main, backend=backend, backend_options=options)
        gc.collect()
        assert clients(redis_server) == 0


@pytest.mark.parametrize("runner", ["asyncio.run(main())", "trio.run(main)"])
@pytest.mark.parametrize("socket", ["unix", "tcp"])
def test_a_users_program_ends_without_a_sound(
    redis_server: RedisServer, runner: str, socket: str
) -> None:
    url = redis_server.url if socket == "unix" else redis_server.tcp_url
    program = f"""
        import asyncio, trio
        from upnext.redis.pool import current_link
        from upnext.redis.url import Address

        async def main():
            if {runner.startswith("asyncio")}:  # a busy machine is no fault to be told of
                asyncio.get_running_loop().slow_callback_duration = 60
            print(await current_link(Address.parse({url!r})).execute("PING"))

        {runner}
        {runner}
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "b'PONG'\n" * 2
