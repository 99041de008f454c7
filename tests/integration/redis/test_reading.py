"""One caller waits for a socket, and others may end that or put it off."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import ByteStream, SocketStream

from upnext.redis.connection import LOST
from upnext.redis.direct import DirectStream
from upnext.redis.reading import Reading, reading

FAR = 3600.0
"""Seconds that no test takes."""

Other = socket.socket
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

    async def receive() -> None:
        data = await reads.receive(until)
        if data is None and reads.deadline <= anyio.current_time():
            data = b"late"
        heard.append(data)

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
    async with receiving(reads, anyio.current_time() + 0.05) as heard:
        reads.extend(anyio.current_time() + FAR)
        await anyio.sleep(0.1)
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
    with anyio.move_on_after(0.01) as scope:
        await reads.receive(anyio.current_time() + FAR)
    assert scope.cancelled_caught
    assert not reads.waiting
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(reads.receive, anyio.current_time() + FAR)
            await anyio.wait_all_tasks_blocked()
            theirs.send(b"one")
            scope.cancel()
    heard: Heard = []
    while heard in ([], [None]):
        async with receiving(reads) as heard:
            pass
    assert heard == [b"one"]


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
