"""Subscriptions on the shared socket, and waiting for a push."""

from __future__ import annotations

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from redis import exceptions as known

from tests.support.scripted import ScriptedServer, echo, push
from upnext.redis.link import Waiter
from upnext.redis.retry import Backoff

AT_ONCE = Backoff(base=0.0, cap=0.0)


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


def nothing(*_: object) -> None:
    pass


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_push_is_told_from_a_reply_by_its_type(before: bool) -> None:
    def answer(words: list[bytes]) -> bytes | None:
        if words[0] == b"PUBLISH":
            message = push(b"message", words[1], words[2])
            return message + b":1\r\n" if before else b":1\r\n" + message
        return echo(words)

    server = ScriptedServer(answer)
    link = server.link()
    heard: list[bytes] = []
    waiter = Waiter()

    def on_message(payload: bytes) -> None:
        heard.append(payload)
        waiter.wake()

    link.subscribe("c", on_message, nothing)
    assert await link.execute("PUBLISH", "c", "x") == 1
    await link.attend(waiter)
    assert heard == [b"x"]
    assert link.statistics().writes == 1, "SUBSCRIBE and the command travel together"


async def test_listeners_share_a_channel_until_the_last_one_leaves(server: ScriptedServer) -> None:
    link = server.link()
    first: list[bytes] = []
    second: list[bytes] = []
    a = link.subscribe("c", first.append, nothing)
    b = link.subscribe("c", second.append, nothing)
    await a.ready()
    await b.ready()
    await link.execute("PUBLISH", "c", "1")
    a.close()
    a.close()
    await link.execute("PUBLISH", "c", "2")
    b.close()
    await link.execute("PUBLISH", "c", "3")
    assert (first, second) == ([b"1"], [b"1", b"2"])
    assert server.names() == [
        "subscribe", "PUBLISH", "PUBLISH", "unsubscribe", "PUBLISH"
    ]  # fmt: skip


async def test_a_subscription_closed_before_the_write_is_never_sent(server: ScriptedServer) -> None:
    link = server.link()
    link.subscribe("c", nothing, nothing).close()
    await link.execute("PING")
    link.subscribe("c", nothing, nothing).close()
    await link.execute("PING")
    assert server.names() == ["PING", "PING"]


async def test_a_refused_subscription_shifts_nobodys_reply(caplog) -> None:
    def answer(words: list[bytes]) -> bytes | None:
        return b"-NOPERM no\r\n" if words[0] == b"subscribe" else echo(words)

    server = ScriptedServer(answer)
    link = server.link()
    subscription = link.subscribe("c", nothing, nothing)
    assert await link.execute_many([("ECHO", "a"), ("ECHO", "b")]) == [b"a", b"b"]
    assert await link.execute("ECHO", "c") == b"c"
    with pytest.raises(known.NoPermissionError, match="ACL SETUSER"):
        await subscription.ready()
    assert "cannot subscribe" in caplog.text


async def test_a_subscription_turned_away_for_now_is_asked_for_again() -> None:
    turned_away = 2

    def answer(words: list[bytes]) -> bytes | None:
        nonlocal turned_away
        if words[0] == b"subscribe" and turned_away:
            turned_away -= 1
            return b"-BUSY a script runs\r\n"
        return echo(words)

    server = ScriptedServer(answer)
    link = server.link(backoff=AT_ONCE)
    await link.subscribe("c", nothing, nothing).ready()
    assert len(server.streams) == 3


async def test_a_raising_listener_harms_nobody_else(server: ScriptedServer, caplog) -> None:
    link = server.link()
    heard: list[bytes] = []

    def broken(_: bytes) -> None:
        raise RuntimeError("a listener's own fault")

    link.subscribe("c", broken, nothing)
    link.subscribe("c", heard.append, nothing)
    assert await link.execute_many([("PUBLISH", "c", "x"), ("ECHO", "a")]) == [1, b"a"]
    assert heard == [b"x"]
    assert "a listener's own fault" in caplog.text


async def test_an_idle_listener_asks_for_a_sign_of_life(server: ScriptedServer) -> None:
    link = server.link(keepalive=0.02)
    waiter = Waiter()
    link.subscribe("c", lambda _: waiter.wake(), nothing)
    asked = anyio.Event()

    def answer(words: list[bytes]) -> bytes | None:
        if server.names().count("PING") == 3:
            asked.set()
        return echo(words)

    server.answer = answer
    async with anyio.create_task_group() as group:
        group.start_soon(link.attend, waiter)
        with anyio.fail_after(10):
            await asked.wait()
        server.stream.put(push(b"message", b"c", b"x"))
    assert len(server.streams) == 1


async def test_a_silent_connection_is_noticed_by_an_idle_listener(server: ScriptedServer) -> None:
    link = server.link(keepalive=0.02, timeout=0.05, backoff=AT_ONCE)
    waiter = Waiter()
    subscription = link.subscribe("c", nothing, waiter.wake)
    await subscription.ready()
    server.answer = lambda words: None if words[0] == b"PING" else echo(words)
    with anyio.fail_after(10):
        await link.attend(waiter)
    assert len(server.streams) == 2
    assert server.names() == ["subscribe", "PING", "subscribe"]


async def test_a_waiter_woken_from_elsewhere_stops_attending(server: ScriptedServer) -> None:
    link = server.link()
    waiters = [Waiter() for _ in range(3)]
    async with anyio.create_task_group() as group:
        for waiter in waiters:
            group.start_soon(link.attend, waiter)
        await wait_all_tasks_blocked()
        for waiter in waiters:
            waiter.wake()
        waiters[0].wake()
    assert link.statistics().parked == 0
    assert await link.execute("ECHO", "a") == b"a"


async def test_a_listener_that_reads_lets_commands_through(server: ScriptedServer) -> None:
    link = server.link(timeout=0.5, keepalive=1000)
    waiter = Waiter()
    async with anyio.create_task_group() as group:
        group.start_soon(link.attend, waiter)
        await wait_all_tasks_blocked()
        assert await link.execute("ECHO", "a") == b"a"
        server.holds = True
        with pytest.raises(known.TimeoutError):  # not only after the listener's 1,000 s
            await link.execute("ECHO", "b")
        server.holds = False
        waiter.wake()


async def test_after_a_reconnect_listeners_learn_of_the_gap(server: ScriptedServer) -> None:
    link = server.link(backoff=AT_ONCE)
    gaps: list[str] = []
    heard: list[bytes] = []
    old = link.subscribe("old", heard.append, lambda: gaps.append("old"))
    await old.ready()
    link.subscribe("shut", nothing, lambda: gaps.append("shut")).close()
    server.stream.end()
    with pytest.raises(known.ConnectionError):
        await link.execute("PING")
    link.subscribe("new", heard.append, lambda: gaps.append("new"))
    await link.execute("PUBLISH", "old", "x")
    assert gaps == ["old"]
    assert heard == [b"x"]
    assert server.names()[-3:] == ["subscribe", "subscribe", "PUBLISH"]
