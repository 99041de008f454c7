"""Every public coroutine, cancelled at every checkpoint: nobody gets another one's reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from redis import exceptions as known

from tests.support.cancel import cancel_everywhere, cancel_everywhere_natively
from tests.support.scripted import ScriptedServer
from upnext.redis.library import Call, Caller, Library
from upnext.redis.link import Link, Waiter
from upnext.redis.retry import Backoff


def nothing(*_: object) -> None:
    pass


async def execute(link: Link) -> None:
    assert await link.execute("ECHO", "mine") == b"mine"


async def execute_many(link: Link) -> None:
    assert await link.execute_many([("ECHO", n) for n in range(3)]) == [b"0", b"1", b"2"]


async def subscribe(link: Link) -> None:
    subscription = link.subscribe("c", nothing, nothing)
    try:
        await subscription.ready()
        await link.execute("ECHO", "mine")
    finally:
        subscription.close()


async def attend(link: Link) -> None:
    waiter = Waiter()
    subscription = link.subscribe("c", lambda _: waiter.wake(), nothing)
    try:
        await link.execute("PUBLISH", "c", "x")
        await link.attend(waiter)
    finally:
        subscription.close()


async def call(link: Link) -> None:
    assert await Caller(link, Library("lib", "code")).call("verb") == b"PONG"


async def call_many(link: Link) -> None:
    calls = [Call("verb"), Call("verb")]
    await Caller(link, Library("lib", "code")).call_many(calls)


async def refused(link: Link) -> None:
    with pytest.raises(known.BusyLoadingError):
        await link.execute("FAIL", "LOADING data")


OPERATIONS = [execute, execute_many, subscribe, attend, call, call_many, refused]


def make(server: ScriptedServer) -> Link:
    # No sign of life is asked for, so a command left lying in the buffer hangs the test.
    return server.link(patience=0.005, keepalive=1000, backoff=Backoff(base=0.001, cap=0.001))


async def check(server: ScriptedServer, link: Link, marker: object) -> None:
    """The link must be whole: own replies, no role taken, nothing waiting, one connection."""
    with anyio.fail_after(5):
        assert await link.execute("ECHO", str(marker)) == str(marker).encode()
    statistics = link.statistics()
    assert (statistics.pending, statistics.parked, statistics.unsent) == (0, 0, 0)
    assert sum(not stream.closed for stream in server.streams) == 1


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "fresh"])
async def test_cancelled_alone(
    operation: Callable[[Link], Awaitable[None]], connected: bool
) -> None:
    server = ScriptedServer()
    link = make(server)

    async def run() -> None:
        if not connected:
            nonlocal link
            await link.aclose()
            link = make(server)
        await operation(link)

    if connected:
        await link.execute("PING")
    points = 0
    async for n in cancel_everywhere(run):
        await check(server, link, n)
        points += 1
    assert points >= 4
    assert len(server.streams) == 1 or not connected


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
async def test_cancelled_by_asyncio_itself(operation: Callable[[Link], Awaitable[None]]) -> None:
    server = ScriptedServer()
    link = make(server)
    points = 0
    async for n in cancel_everywhere_natively(lambda: operation(link)):
        await check(server, link, n)
        points += 1
    assert points >= 4


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_half_a_command_is_the_end_of_its_connection() -> None:
    """Asyncio's own cancellation gets through the shield around a write."""
    server = ScriptedServer()
    link = server.link(backoff=Backoff(base=0.0, cap=0.0))
    async with anyio.create_task_group() as group:
        for _ in range(3):  # who had company waits for it again, so that all share one write
            group.start_soon(link.execute, "PING")
    server.sends_block = True
    results: dict[str, object] = {}

    async def follow(name: str, *, idempotent: bool) -> None:
        try:
            results[name] = await link.execute("ECHO", name, idempotent=idempotent)
        except known.ConnectionError as error:
            results[name] = str(error)

    async with anyio.create_task_group() as group:
        leader = asyncio.create_task(link.execute("ECHO", "leader"))
        group.start_soon(partial(follow, "again", idempotent=True))
        group.start_soon(partial(follow, "once", idempotent=False))
        await wait_all_tasks_blocked()
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        server.sends_block = False
    assert server.streams[0].closed
    assert [words for words in server.commands if words[0] == b"ECHO"] == [[b"ECHO", b"again"]]
    assert results["again"] == b"again"
    assert "whether the command was executed is not known" in str(results["once"])
    await check(server, link, "end")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
async def test_cancelled_among_others(operation: Callable[[Link], Awaitable[None]]) -> None:
    server = ScriptedServer()
    link = make(server)

    async def other(name: str) -> None:
        for n in range(5):
            assert await link.execute("ECHO", f"{name}{n}") == f"{name}{n}".encode()

    async def in_company() -> None:
        # Shielded, so that the others' commands surround the cancelled one's.
        async with anyio.create_task_group() as group:
            with anyio.CancelScope(shield=True):
                group.start_soon(other, "a")
                await other("b")
            with anyio.fail_after(5):
                await operation(link)

    async def run() -> None:
        with anyio.fail_after(5):
            await operation(link)

    async for n in cancel_everywhere(in_company):
        await check(server, link, n)
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(other, name)
        async for n in cancel_everywhere(run):
            with anyio.fail_after(5):
                assert await link.execute("ECHO", str(n)) == str(n).encode()
    await check(server, link, "end")
    assert len(server.streams) == 1


async def test_closing_cancelled_at_every_checkpoint_closes_all_the_same() -> None:
    server = ScriptedServer()

    async def run() -> None:
        link = make(server)
        await link.execute("PING")
        try:
            await link.aclose()
        finally:
            with anyio.CancelScope(shield=True):
                await link.aclose()

    async for _ in cancel_everywhere(run):
        for stream in server.streams:
            # A connection that was never handed out is closed by whoever made it.
            if not stream.closed:
                assert server.commands[-1] == [b"PING"] or server.commands[-1][0] == b"HELLO"
                await stream.aclose()


async def test_a_cancelled_reconnect_is_taken_over() -> None:
    server = ScriptedServer()
    server.refuses = 10**6
    link = server.link(patience=30, backoff=Backoff(base=0.001, cap=0.001))
    replies: list[bytes] = []

    async def patient() -> None:
        replies.append(await link.execute("ECHO", "patient"))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as connectors:
                connectors.start_soon(link.execute, "ECHO", "connector")
                while not server.attempts:
                    await anyio.lowlevel.checkpoint()
                group.start_soon(patient)
                while not link.statistics().parked:
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
        server.refuses = 0
    assert replies == [b"patient"]
    assert [words[1] for words in server.commands if words[0] == b"ECHO"] == [b"patient"]
