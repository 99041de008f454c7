"""One caller waits for a socket, and others may end that or put it off."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio
import pytest
from anyio.abc import ByteStream, SocketStream
from redis.exceptions import InvalidResponse
from sniffio import current_async_library

from upnext.redis.connection import LOST
from upnext.redis.direct import DirectStream
from upnext.redis.reading import Reading, reading

FAR = 3600.0
"""Seconds that no test takes."""

Other = socket.socket

mine: ContextVar[str] = ContextVar("mine")
Heard = list[bytes | None]


async def _direct(raw: socket.socket) -> ByteStream:
    return DirectStream(raw)


async def _any_stream(raw: socket.socket) -> ByteStream:
    return await SocketStream.from_socket(raw)


@pytest.fixture(params=[_direct, _any_stream])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Reading, ByteStream, Other]]:
    """What reads a socket, its stream, and the socket's other end."""
    wrap: Callable[[socket.socket], Awaitable[ByteStream]] = request.param
    # TCP, for AnyIO makes another kind of stream of what socketpair() returns.
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    mine.setblocking(False)
    stream = await wrap(mine)
    reads = reading(stream)
    with theirs:
        yield reads, stream, theirs
    reads.close()
    await anyio.aclose_forcefully(stream)


@asynccontextmanager
async def receiving(reads: Reading, deadline: float | None = None) -> AsyncIterator[Heard]:
    """Somebody waits within the block, and has heard something at its end."""
    heard: Heard = []
    until = anyio.current_time() + FAR if deadline is None else deadline

    def take(data: bytes) -> None:
        heard.append(data)
        reads.look_up()

    async def receive() -> None:
        await reads.hear(until, take)
        if not heard:
            heard.append(b"late" if reads.deadline <= anyio.current_time() else None)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            yield heard
    assert not reads.waiting


Pair = tuple[Reading, ByteStream, Other]


async def test_what_is_said_is_heard_and_so_is_the_next_word(pair: Pair) -> None:
    reads, _, theirs = pair
    for word in (b"one", b"two", b"three"):
        async with receiving(reads) as heard:
            assert reads.waiting
            theirs.send(word)
        assert heard == [word]


async def test_what_was_said_before_is_heard_at_once(pair: Pair) -> None:
    reads, _, theirs = pair
    async with receiving(reads):
        theirs.send(b"one")
    theirs.send(b"two")  # nobody waits
    for _ in range(5):  # and turns of the loop go by
        await anyio.wait_all_tasks_blocked()
    async with receiving(reads) as heard:
        pass
    assert heard == [b"two"]


async def test_the_deadline_ends_the_wait(pair: Pair) -> None:
    reads, _, _ = pair
    async with receiving(reads, anyio.current_time() + 0.01) as heard:
        pass
    assert heard == [b"late"]


async def test_a_wait_that_ends_sooner_than_the_last_one(pair: Pair) -> None:
    reads, _, theirs = pair
    async with receiving(reads):
        theirs.send(b"one")
    async with receiving(reads, anyio.current_time() + 0.01) as heard:
        pass
    assert heard == [b"late"]


async def test_the_deadline_can_be_put_off(pair: Pair) -> None:
    reads, _, theirs = pair
    first = anyio.current_time() + 0.5
    async with receiving(reads, first) as heard:
        reads.set_deadline(first + FAR)
        await anyio.sleep_until(first + 0.01)
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        theirs.send(b"one")
    assert heard == [b"one"]


async def test_who_waits_can_be_told_to_look_up(pair: Pair) -> None:
    reads, _, theirs = pair
    reads.look_up()  # of no effect: nobody waits
    async with receiving(reads) as heard:
        reads.look_up()
        reads.look_up()
    assert heard == [None]
    async with receiving(reads) as heard:
        theirs.send(b"one")
    assert heard == [b"one"]


async def test_a_wait_that_is_cancelled_loses_nothing(pair: Pair) -> None:
    reads, _, theirs = pair
    taken: list[bytes] = []
    with anyio.move_on_after(0.01) as scope:
        await reads.hear(anyio.current_time() + FAR, taken.append)
    assert scope.cancelled_caught
    assert not reads.waiting
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(reads.hear, anyio.current_time() + FAR, taken.append)
            await anyio.wait_all_tasks_blocked()
            theirs.send(b"one")
            scope.cancel()
    if not taken:
        async with receiving(reads) as heard:
            pass
        assert heard == [b"one"]
    assert taken in ([], [b"one"])


async def test_the_end_is_heard(pair: Pair) -> None:
    reads, _, theirs = pair
    with pytest.RaisesGroup(*[pytest.RaisesExc(LOST)], flatten_subgroups=True):
        async with receiving(reads):
            theirs.close()


async def test_closing_it_ends_the_wait(pair: Pair) -> None:
    reads, stream, _ = pair
    with pytest.RaisesGroup(*[pytest.RaisesExc(LOST)], flatten_subgroups=True):
        async with receiving(reads):
            reads.close()
            await anyio.aclose_forcefully(stream)


async def test_the_wait_can_be_made_shorter(pair: Pair) -> None:
    reads, _, _ = pair
    async with receiving(reads) as heard:
        reads.set_deadline(anyio.current_time() + 0.01)
    assert heard == [b"late"]


async def test_who_takes_it_may_find_it_damaged(pair: Pair) -> None:
    reads, _, theirs = pair

    def take(data: bytes) -> None:
        raise InvalidResponse(data)

    with pytest.RaisesGroup(InvalidResponse, flatten_subgroups=True), anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(reads.hear, anyio.current_time() + FAR, take)
            await anyio.wait_all_tasks_blocked()
            theirs.send(b"?")
    async with receiving(reads) as heard:  # whoever goes on all the same
        theirs.send(b"one")
    assert heard == [b"one"]


async def test_who_takes_it_does_not_see_what_is_the_waiting_tasks_own(pair: Pair) -> None:
    """On a loop where what comes is taken between tasks; and AnyIO knows the loop there."""
    reads, stream, theirs = pair
    seen: list[tuple[str, float]] = []
    mine.set("the task's")

    def take(data: bytes) -> None:
        seen.append((mine.get("nobody's"), anyio.current_time()))
        reads.look_up()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(reads.hear, anyio.current_time() + FAR, take)
            await anyio.wait_all_tasks_blocked()
            theirs.send(b"one")
    between = isinstance(stream, DirectStream) and current_async_library() == "asyncio"
    assert [whose for whose, _ in seen] == ["nobody's" if between else "the task's"]
