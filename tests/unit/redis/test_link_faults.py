"""What becomes of commands when the server is silent, gone, or unwilling."""

from __future__ import annotations

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from redis import exceptions as known

from tests.support.scripted import ScriptedServer, bulk, echo
from upnext.redis.link import Waiter
from upnext.redis.retry import Backoff

AT_ONCE = Backoff(base=0.0, cap=0.0)


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


def nothing(*_: object) -> None:
    pass


async def test_a_lost_connection_repeats_only_what_is_idempotent(server: ScriptedServer) -> None:
    link = server.link(backoff=AT_ONCE)
    await link.execute("PING")
    server.holds = True
    replies: list[object] = []

    async def repeated() -> None:
        replies.append(await link.execute("ECHO", "again", idempotent=True))

    async def once() -> None:
        with pytest.raises(known.ConnectionError, match="not known") as caught:
            await link.execute("ECHO", "once")
        replies.append(str(caught.value))

    async with anyio.create_task_group() as group:
        group.start_soon(once)
        group.start_soon(repeated)
        await wait_all_tasks_blocked()
        server.holds = False
        server.stream.end()
    assert b"again" in replies
    echoes = [words[1] for words in server.commands if words[0] == b"ECHO"]
    assert sorted(echoes) == [b"again", b"again", b"once"]
    assert link.statistics().reconnects == 1


async def test_half_an_idempotent_batch_is_repeated_whole(server: ScriptedServer) -> None:
    link = server.link(backoff=AT_ONCE)
    await link.execute("PING")
    server.holds = True
    replies: list[bytes] = []

    async def call() -> None:
        replies.extend(await link.execute_many([("ECHO", 1), ("ECHO", 2)], idempotent=True))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await wait_all_tasks_blocked()
        server.stream.put(bulk(b"1"))
        await wait_all_tasks_blocked()
        server.holds = False
        server.stream.end()
    assert replies == [b"1", b"2"]


async def test_a_write_that_fails_breaks_the_connection(server: ScriptedServer) -> None:
    link = server.link(backoff=AT_ONCE)
    await link.execute("PING")
    server.stream.end()
    with pytest.raises(known.ConnectionError, match="not known"):
        await link.execute("ECHO", "once")
    assert server.streams[0].closed
    assert await link.execute("ECHO", "next") == b"next"


async def test_a_write_that_blocks_past_the_limit_breaks_the_connection(
    server: ScriptedServer,
) -> None:
    link = server.link(timeout=0.05, backoff=AT_ONCE)
    await link.execute("PING")
    server.sends_block = True
    with pytest.raises(known.TimeoutError):
        await link.execute("ECHO", "once")
    server.sends_block = False
    assert server.streams[0].closed
    assert await link.execute("ECHO", "next") == b"next"


async def test_silence_while_a_reply_is_due_is_a_timeout(server: ScriptedServer) -> None:
    link = server.link(timeout=0.05, backoff=AT_ONCE)
    server.holds = True
    with pytest.raises(known.TimeoutError, match=r"said nothing for 0\.05 s"):
        await link.execute("PING")
    server.holds = False
    assert await link.execute("ECHO", "next") == b"next"


async def test_callers_who_come_and_go_do_not_keep_a_dead_connection(
    server: ScriptedServer,
) -> None:
    link = server.link(timeout=0.2, backoff=AT_ONCE)
    await link.execute("PING")
    server.holds = True
    with anyio.fail_after(10):
        while server.stream is server.streams[0]:
            with anyio.move_on_after(0.05):
                await link.execute("ECHO", "impatient", idempotent=True)
    server.holds = False
    assert await link.execute("ECHO", "next") == b"next"


async def test_a_reply_that_waits_in_the_socket_is_no_silence(server: ScriptedServer) -> None:
    link = server.link(timeout=0.1)
    await link.execute("PING")
    server.holds = True
    with anyio.move_on_after(0.01):
        await link.execute("ECHO", "dropped")
    server.holds = False
    server.stream.release()
    await anyio.sleep(0.15)  # the reply is there, longer than the timeout, and nobody reads
    assert await link.execute("ECHO", "next") == b"next"
    assert len(server.streams) == 1


async def test_a_server_out_of_reach_is_one_clear_line(server: ScriptedServer) -> None:
    server.refuses = 10**6
    link = server.link(patience=0.1, backoff=Backoff(base=0.01, cap=0.02))
    errors: list[str] = []

    async def call() -> None:
        with pytest.raises(known.ConnectionError) as caught:
            await link.execute("PING", idempotent=True)
        errors.append(str(caught.value))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(call)
    assert len(errors) == 5
    (error,) = set(errors)
    assert error == (
        "cannot reach Redis at redis://scripted:1/0: refused; "
        "see that the server runs and that the Redis URL is right"
    )
    assert server.attempts <= 20
    server.refuses = 0
    assert await link.execute("ECHO", "back") == b"back"


async def test_a_wrong_password_is_raised_at_once(server: ScriptedServer) -> None:
    server.answer = lambda words: b"-WRONGPASS invalid username-password pair\r\n"
    with pytest.raises(known.AuthenticationError, match="check the user and password"):
        await server.link(patience=1000).execute("PING")
    assert server.attempts == 1
    assert server.stream.closed


@pytest.mark.parametrize(
    "refusal", ["LOADING data", "BUSY script", "READONLY replica", "MASTERDOWN link"]
)
async def test_what_was_not_executed_is_sent_again(refusal: str) -> None:
    left = 3

    def answer(words: list[bytes]) -> bytes | None:
        nonlocal left
        if words[-1] == b"b" and left:
            left -= 1
            return f"-{refusal}\r\n".encode()
        return echo(words)

    server = ScriptedServer(answer)
    link = server.link(backoff=AT_ONCE)
    assert await link.execute_many([("ECHO", "a"), ("ECHO", "b")]) == [b"a", b"b"]
    assert [w[1] for w in server.commands if w[0] == b"ECHO"] == [b"a", b"b", b"b", b"b", b"b"]
    assert len(server.streams) == (4 if refusal.startswith("READONLY") else 1)


async def test_who_lets_others_go_first_is_sent_again_as_anybody() -> None:
    refused, lost = 3, 1  # the PING and its command refused, the command alone, a connection lost

    def answer(words: list[bytes]) -> bytes | None:
        nonlocal refused, lost
        if words[0] != b"HELLO" and refused:
            refused -= 1
            return b"-LOADING data\r\n"
        if words[0] == b"ECHO" and lost:
            lost -= 1
            server.stream.end()
            return None
        return echo(words)

    server = ScriptedServer(answer)
    link = server.link(backoff=AT_ONCE)
    replies = await link.execute_many([("ECHO", "a")], idempotent=True, others_first=True)
    assert replies == [b"a"]
    replies = await link.execute_many([("ECHO", "b")], others_first=True)
    assert replies == [b"b"]
    assert (refused, lost, len(server.streams)) == (0, 0, 2)


async def test_a_refusal_of_the_ping_in_front_is_nobodys_error() -> None:
    def answer(words: list[bytes]) -> bytes | None:
        return b"-LOADING data\r\n" if words[0] == b"PING" else echo(words)

    link = ScriptedServer(answer).link(backoff=AT_ONCE)
    assert await link.execute_many([("ECHO", "a")], others_first=True) == [b"a"]


async def test_what_is_refused_past_patience_is_raised(server: ScriptedServer) -> None:
    link = server.link(patience=0.05, backoff=Backoff(base=0.01, cap=0.01))
    with pytest.raises(known.BusyLoadingError, match="reads its data from disk"):
        await link.execute("FAIL", "LOADING data")


async def test_a_retired_connection_first_answers_what_it_was_asked() -> None:
    server = ScriptedServer()
    link = server.link(backoff=AT_ONCE)
    await link.execute("PING")
    server.holds = True
    replies: list[bytes] = []

    async def slow() -> None:
        replies.append(await link.execute("ECHO", "slow"))

    async def refused() -> None:
        with pytest.raises(known.ConnectionError):
            await link.execute("FAIL", "READONLY replica")

    async with anyio.create_task_group() as group:
        group.start_soon(refused)
        await wait_all_tasks_blocked()
        group.start_soon(slow)
        await wait_all_tasks_blocked()
        server.stream.put(b"-READONLY replica\r\n")
        await wait_all_tasks_blocked()
        assert len(server.streams) == 1
        server.stream.put(bulk(b"slow"))
        await wait_all_tasks_blocked()
        assert len(server.streams) == 2
        await link.aclose()
    assert replies == [b"slow"]


@pytest.mark.parametrize("rubbish", [b"what?\r\n", b"+uninvited\r\n"])
async def test_what_makes_no_sense_ends_the_connection(
    server: ScriptedServer, rubbish: bytes
) -> None:
    link = server.link(backoff=AT_ONCE)
    waiter = Waiter()
    await link.subscribe("c", nothing, waiter.wake).ready()
    server.stream.put(rubbish)
    with anyio.fail_after(10):
        await link.attend(waiter)
    assert await link.execute("ECHO", "a") == b"a"
    assert len(server.streams) == 2
