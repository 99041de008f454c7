"""The stream of a link: a socket that is asked before anybody waits for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from upnext.redis import direct
from upnext.redis.direct import DirectStream, connect_tcp, connect_unix

LARGE = bytes(range(256)) * 40_000


@pytest.fixture
def pair() -> Iterator[tuple[DirectStream, socket.socket]]:
    """A stream, and the socket at its other end."""
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    with mine, theirs:
        yield DirectStream(mine), theirs


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        yield server


def _addresses(monkeypatch: pytest.MonkeyPatch, *servers: socket.socket) -> None:
    async def getaddrinfo(*args: Any, **options: Any) -> list[Any]:
        kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        return [(*kind, server.getsockname()) for server in servers]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)


async def test_what_is_there_is_taken_at_once(pair: tuple[DirectStream, socket.socket]) -> None:
    stream, other = pair
    assert stream.receive_now() is None
    other.sendall(b"hello")
    assert stream.receive_now(3) == b"hel"
    assert await stream.receive() == b"lo"
    other.close()
    with pytest.raises(anyio.EndOfStream):
        stream.receive_now()


async def test_a_reader_that_is_cancelled_when_something_comes_takes_nothing_along(
    pair: tuple[DirectStream, socket.socket],
) -> None:
    stream, other = pair
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(stream.receive)
            await anyio.wait_all_tasks_blocked()
            other.sendall(b"kept")
            group.cancel_scope.cancel()
        assert await stream.receive() == b"kept"


async def test_what_the_other_side_takes_late_is_sent_whole(
    pair: tuple[DirectStream, socket.socket],
) -> None:
    stream, other = pair
    other.setblocking(False)
    taken, reader = bytearray(), DirectStream(other)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(stream.send, LARGE)
            await anyio.wait_all_tasks_blocked()  # until the kernel has no room
            while len(taken) < len(LARGE):
                taken += await reader.receive()
    assert taken == LARGE


async def test_closing_it_ends_who_waits(pair: tuple[DirectStream, socket.socket]) -> None:
    stream, _ = pair
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await stream.receive()

            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await stream.aclose()
    for call in (stream.receive_now, lambda: stream.send_now(b"x")):
        with pytest.raises(anyio.ClosedResourceError):
            call()


async def test_a_reset_is_a_lost_connection(pair: tuple[DirectStream, socket.socket]) -> None:
    stream, other = pair
    other.close()
    with pytest.raises(anyio.BrokenResourceError):
        await stream.send(LARGE)


async def test_the_next_address_is_tried_when_one_refuses(
    monkeypatch: pytest.MonkeyPatch, listening: socket.socket
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        refused = refusing.getsockname()
    with socket.socket() as gone:
        gone.bind(refused)  # nobody listens there
        _addresses(monkeypatch, gone, listening)
        stream = await connect_tcp("a host", 1)
        assert stream.extra(anyio.abc.SocketAttribute.remote_address) == listening.getsockname()
        await stream.aclose()
        _addresses(monkeypatch, gone)
        with pytest.raises(ConnectionRefusedError):
            await connect_tcp("a host", 1)


async def test_the_next_address_is_tried_when_one_is_silent(
    monkeypatch: pytest.MonkeyPatch, listening: socket.socket
) -> None:
    monkeypatch.setattr(direct, "ADDRESS_PATIENCE", 0.01)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        waiting: list[socket.socket] = []
        while True:  # until its backlog is full
            client = socket.socket()
            waiting.append(client)
            client.settimeout(0.2)
            try:
                client.connect(silent.getsockname())
            except TimeoutError:
                break
        _addresses(monkeypatch, silent, listening)
        stream = await connect_tcp("a host", 1)
        assert stream.extra(anyio.abc.SocketAttribute.remote_address) == listening.getsockname()
        await stream.aclose()
        for client in waiting:
            client.close()


async def test_a_unix_socket_that_nobody_listens_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # its own path may be longer than a socket's can be
    with pytest.raises(FileNotFoundError):
        await connect_unix("none.sock")
