"""Who sends, who reads, and whose reply is whose."""

from __future__ import annotations

import math

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from redis import exceptions as known

from tests.support.scripted import ScriptedServer
from upnext.redis.exchange import ENOUGH
from upnext.redis.link import Waiter
from upnext.redis.pipeline import Batch
from upnext.redis.retry import Backoff
from upnext.redis.unsent import Unsent

AT_ONCE = Backoff(base=0.0, cap=0.0)


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


def nothing(*_: object) -> None:
    pass


async def test_a_lone_command_costs_one_write_and_one_read(server: ScriptedServer) -> None:
    link = server.link()
    for n in range(3):
        assert await link.execute("ECHO", n) == b"%d" % n
    statistics = link.statistics()
    assert (statistics.writes, statistics.reads, statistics.commands) == (3, 3, 3)
    assert (statistics.epoch, statistics.pending, statistics.unsent) == (1, 0, 0)


async def test_replies_keep_their_order_and_errors_their_place(server: ScriptedServer) -> None:
    link = server.link()
    replies = await link.execute_many([("ECHO", "a"), ("FAIL", "WRONGTYPE no"), ("ECHO", "b")])
    assert [replies[0], replies[2]] == [b"a", b"b"]
    assert isinstance(replies[1], known.ResponseError)
    assert await link.execute_many([]) == []


async def test_who_lets_others_go_first_is_given_the_replies_asked_for(
    server: ScriptedServer,
) -> None:
    link = server.link()
    commands = [("ECHO", "a"), ("FAIL", "WRONGTYPE no"), ("ECHO", "b")]
    replies = await link.execute_many(commands, others_first=True)
    assert [replies[0], replies[2]] == [b"a", b"b"]
    assert isinstance(replies[1], known.ResponseError)
    assert server.names()[-4:] == ["PING", "ECHO", "FAIL", "ECHO"]
    assert link.statistics().writes == 1
    assert await link.execute_many([], others_first=True) == []


async def test_callers_at_the_same_moment_share_one_write(server: ScriptedServer) -> None:
    link = server.link()
    replies: dict[int, bytes] = {}

    async def caller(n: int) -> None:
        replies[n] = await link.execute("ECHO", n)

    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(caller, n)
    assert replies == {n: b"%d" % n for n in range(20)}
    assert link.statistics().writes == 1


async def test_callers_woken_together_share_the_next_writes_too(
    server: ScriptedServer, anyio_backend_name: str
) -> None:
    link, on_asyncio = server.link(), anyio_backend_name == "asyncio"

    async def caller() -> None:
        for _ in range(10):
            await link.execute("PING")

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(caller)
    statistics = link.statistics()
    assert statistics.commands == 200
    # Not one write for all, which the server would wait for. Asyncio wakes in order, so each of the
    # ten rounds is three writes; Trio wakes at random.
    rounds = math.ceil(20 / ENOUGH) * 10
    assert 10 < statistics.writes <= (rounds + 6 if on_asyncio else rounds + 40)


@pytest.mark.parametrize("others", [[], [b"gathers"]])
@pytest.mark.parametrize("prompt", [False, True])
async def test_where_much_is_going_on_only_a_prompt_write_waits_for_nobody(
    server: ScriptedServer, prompt: bool, others: list[bytes]
) -> None:
    link = server.link()
    await link.execute("PING")
    server.holds = True
    async with anyio.create_task_group() as group:
        group.start_soon(link.execute, "ECHO", "due")
        await wait_all_tasks_blocked()
        gathering = [link.execute("ECHO", other) for other in others]
        for caller in gathering:
            caller.send(None)  # until it waits for others to join its write
        with anyio.CancelScope() as scope:
            scope.cancel()  # it gets as far as its first checkpoint
            await link.execute_many([("ECHO", "cancelled")], prompt=prompt)
        said = [words[1] for words in server.commands[2:]]
        assert said == ([b"due", *others, b"cancelled"] if prompt else [b"due"])
        for caller in gathering:
            caller.close()
        server.stream.release()


def test_what_was_taken_back_hurries_nobody() -> None:
    unsent, prompt = Unsent(), Batch([("PING",)], idempotent=False, prompt=True)
    unsent.add(prompt)
    assert unsent.prompt
    unsent.drop(prompt)
    assert not unsent.prompt


async def test_the_reply_of_a_cancelled_caller_goes_to_nobody(server: ScriptedServer) -> None:
    link = server.link()
    await link.execute("PING")
    server.holds = True
    with anyio.move_on_after(0.01):
        await link.execute("ECHO", "dropped")
    server.holds = False
    assert await link.execute("ECHO", "kept") == b"kept"
    assert server.names() == ["PING", "ECHO", "ECHO"]


async def test_a_cancelled_leader_hands_reading_over(server: ScriptedServer) -> None:
    link = server.link()
    await link.execute("PING")
    server.holds = True
    replies: list[bytes] = []

    async def follower(n: int) -> None:
        replies.append(await link.execute("ECHO", n))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as leading:
            async with anyio.create_task_group() as leaders:
                leaders.start_soon(link.execute, "ECHO", "leader")
                await wait_all_tasks_blocked()
                for n in range(3):
                    group.start_soon(follower, n)
                await wait_all_tasks_blocked()
                assert link.statistics().parked == 3
                leading.cancel()
        await wait_all_tasks_blocked()
        server.stream.release()
    assert sorted(replies) == [b"0", b"1", b"2"]


async def test_a_caller_cancelled_before_its_write_sends_nothing(server: ScriptedServer) -> None:
    server.refuses = 10**6
    link = server.link(backoff=Backoff(base=0.001, cap=0.001))
    with anyio.move_on_after(0.02):
        await link.execute("ECHO", "never")
    server.refuses = 0
    assert await link.execute("ECHO", "b") == b"b"
    assert server.names() == ["ECHO"]


async def test_a_cancelled_writer_finishes_the_bytes_of_the_others(server: ScriptedServer) -> None:
    link = server.link(timeout=5)
    await link.execute("PING")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await link.execute("ECHO", "cancelled")
    assert await link.execute("ECHO", "next") == b"next"
    assert len(server.streams) == 1


async def test_closing_fails_whoever_waits_and_whoever_comes(server: ScriptedServer) -> None:
    link = server.link()
    server.holds = True
    failed = 0

    async def call() -> None:
        nonlocal failed
        with pytest.raises(known.ConnectionError, match="was closed"):
            await link.execute("PING", idempotent=True)
        failed += 1

    async def attend() -> None:
        nonlocal failed
        with pytest.raises(known.ConnectionError, match="was closed"):
            await link.attend(Waiter())
        failed += 1

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
            group.start_soon(attend)
        await wait_all_tasks_blocked()
        await link.aclose()
    await call()
    assert failed == 7
    assert server.stream.closed
    await link.aclose()


async def test_a_name_the_server_would_refuse_is_cleaned(server: ScriptedServer) -> None:
    await server.link(name="my app\n1").execute("PING")
    assert server.commands[0][-1] == b"my-app-1"


async def test_a_word_of_a_wrong_type_is_the_callers_own_error(server: ScriptedServer) -> None:
    link = server.link()
    with pytest.raises(TypeError):
        await link.execute("ECHO", None)
    await checkpoint()
    assert await link.execute("ECHO", "a") == b"a"
