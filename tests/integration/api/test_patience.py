"""How long a client may take: not for less than was said, and not for what is not his."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import SocketStream

from tests.integration.api.conftest import Serving
from upnext import Api

GET = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSED = (anyio.EndOfStream, anyio.BrokenResourceError)


async def answer(stream: SocketStream) -> bytes:
    data = b""
    while not data.endswith(b'"done"'):
        data += await stream.receive()
    return data


async def test_a_handler_may_take_longer_than_its_client_may_idle(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upnext.api.serve.IDLE_PATIENCE", 0.4)
    api, begun, go = Api("slow"), anyio.Event(), anyio.Event()

    @api.get("/slow")
    async def slow() -> str:
        begun.set()
        await go.wait()
        return "done"

    async with serving(api) as served, await anyio.connect_tcp(*served.address) as stream:
        await stream.send(GET)
        await begun.wait()
        for _ in range(2):  # what came later is closed for idling
            async with await anyio.connect_tcp(*served.address) as idle:
                with pytest.raises(CLOSED):
                    await idle.receive()
        go.set()
        for _ in range(2):
            assert (await answer(stream)).startswith(b"HTTP/1.1 200 ")
            await stream.send(GET)
        await answer(stream)
        with pytest.raises(CLOSED):
            await stream.receive()


async def test_a_body_that_nobody_reads_yet_is_not_late(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upnext.api.server.connection.BODY_PATIENCE", 0.3)
    monkeypatch.setattr("upnext.api.serve.IDLE_PATIENCE", 0.6)
    go = anyio.Event()

    async def app(scope: dict, receive, send) -> None:  # type: ignore[type-arg]
        assert scope["type"] == "http"
        await go.wait()
        length = 0
        while (message := await receive())["type"] == "http.request":
            length += len(message["body"])
            if not message["more_body"]:
                break
        body = b'%d "done"' % length
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    size = 12 << 20
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    async with (
        serving(Api.from_asgi(app)) as served,
        await anyio.connect_tcp(*served.address) as stream,
        anyio.create_task_group() as group,
    ):
        group.start_soon(stream.send, head + b"x" * size)
        async with await anyio.connect_tcp(*served.address) as idle:
            with pytest.raises(CLOSED):
                await idle.receive()
        go.set()
        assert b'%d "done"' % size in await answer(stream)
