"""The server: limits, deadlines, clients that leave, and a stop that keeps its promises."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

import anyio
import h11
import httpx
import pytest
import quart
import wsproto
from anyio.abc import SocketStream
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from wsproto.events import AcceptConnection, Ping, Request, TextMessage

from tests.integration.api.conftest import Serving
from upnext import Api, ConfigurationError
from upnext.api.ports import ASGIApp
from upnext.api.serve import serve_api
from upnext.api.server import connection
from upnext.api.server.lifespan import ApiLifespanError
from upnext.api.tracking.middleware import Middleware


@pytest.fixture
def api() -> Api:
    api = Api("served", max_body_bytes=1 << 20)

    @api.get("/hello/{name}")
    async def hello(name: str) -> dict[str, str]:
        return {"hello": name}

    @api.post("/length")
    async def length(body: dict) -> int:  # type: ignore[type-arg]
        return len(body["text"])

    return api


class Slow:
    """A handler that says where it is, and ends when it is told."""

    def __init__(self, api: Api) -> None:
        self.begun, self.go, self.cancelled = anyio.Event(), anyio.Event(), anyio.Event()
        api.get("/slow")(self.handle)
        api.post("/slow")(self.handle)

    async def handle(self) -> str:
        self.begun.set()
        try:
            await self.go.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise
        return "done"


async def test_requests_on_one_connection(api: Api, serving: Serving) -> None:
    async with serving(api) as served:
        for name in ("ada", "bob"):
            answer = await served.client.get(f"/hello/{name}")
            assert answer.json() == {"hello": name}
        assert (await served.client.head("/hello/ada")).headers["content-length"] == "15"
        answer = await served.client.post("/length", json={"text": "x" * 500_000})
        assert answer.json() == 500_000
        assert (await served.client.get("/runtime/ready")).status_code == 200
        assert "server" not in answer.headers


async def test_answers_that_the_client_takes_late_come_whole_and_in_order(
    api: Api, serving: Serving
) -> None:
    @api.get("/letters/{letter}")
    async def letters(letter: str) -> quart.Response:
        return quart.Response(letter * (4 << 20), content_type="text/plain")

    asked = "aAbBcC"  # small and large ones take turns
    async with serving(api) as served, await anyio.connect_tcp(*served.address) as stream:
        for letter in asked:
            path = f"/hello/{letter}" if letter.islower() else f"/letters/{letter}"
            await stream.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await anyio.wait_all_tasks_blocked()
        client = h11.Connection(h11.CLIENT)
        for letter in asked:
            body = await _answer_to(client, stream)
            expected = f'{{"hello":"{letter}"}}' if letter.islower() else letter * (4 << 20)
            assert body == expected.encode()


async def _answer_to(client: h11.Connection, stream: SocketStream) -> bytes:
    if client.our_state is h11.DONE:
        client.start_next_cycle()
    client.send(h11.Request(method="GET", target="/", headers={"Host": "x"}.items()))
    client.send(h11.EndOfMessage())
    body = bytearray()
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            client.receive_data(await stream.receive())
        elif isinstance(event, h11.Data):
            body += event.data
    return bytes(body)


async def test_a_stream_of_known_length_lets_others_have_their_turns(
    api: Api, serving: Serving
) -> None:
    other_began = anyio.Event()

    @api.get("/stream")
    async def stream() -> Any:
        async def parts() -> Any:
            while not other_began.is_set():  # never waits by itself
                yield b"x"

        return parts(), 200, {"Content-Length": "1000000000"}

    @api.get("/other")
    async def other() -> str:
        other_began.set()
        return "here"

    async with serving(api) as served, served.client.stream("GET", "/stream") as answer:
        assert answer.status_code == 200
        assert (await served.client.get("/other")).json() == "here"


async def test_what_is_too_large_is_refused(api: Api, serving: Serving) -> None:
    async def parts() -> Any:
        for _ in range(40):
            yield b"x" * 50_000

    headers = {"Content-Type": "application/json"}
    async with serving(api) as served:
        answer = await served.client.post("/length", content=b"x" * (2 << 20), headers=headers)
        assert answer.status_code == 413
        answer = await served.client.post("/length", content=parts(), headers=headers)
        assert answer.status_code == 413
        answer = await served.client.get("/hello/ada", headers={"X-Long": "y" * 50_000})
        assert answer.status_code == 431


async def test_a_client_that_is_too_slow_is_dropped(
    api: Api, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upnext.api.serve.IDLE_PATIENCE", 0.1)
    monkeypatch.setattr(connection, "BODY_PATIENCE", 0.1)
    async with serving(api) as served:
        head = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for sent in (b"", b"GET /hello/a HT", head + b"Content-Length: 100000\r\n\r\n{"):
            async with await anyio.connect_tcp(*served.address) as stream:
                if sent:
                    await stream.send(sent)
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()


async def test_a_client_that_takes_nothing_is_dropped(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SEND_PATIENCE", 0.1)
    api, ended = Api("stream"), anyio.Event()

    @api.get("/")
    async def forever() -> Any:
        async def parts() -> Any:
            try:
                while True:
                    yield b"x" * 100_000
            finally:
                ended.set()

        return parts()

    async with serving(api) as served, await anyio.connect_tcp(*served.address) as stream:
        await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await ended.wait()


@pytest.mark.parametrize("body", [b"", b"x" * 200_000], ids=["short", "long"])
async def test_a_client_that_leaves_cancels_its_handler(
    api: Api, serving: Serving, body: bytes
) -> None:
    slow = Slow(api)
    async with serving(api) as served:
        async with await anyio.connect_tcp(*served.address) as stream:
            head = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            await stream.send(head + body)
            await slow.begun.wait()
        await slow.cancelled.wait()


async def test_a_client_that_leaves_is_counted_as_gone(api: Api, serving: Serving) -> None:
    slow, counted = Slow(api), list[tuple[Any, ...]]()

    class Book:
        def count(self, *facts: Any) -> None:
            counted.append(facts)

    def tracked(app: ASGIApp) -> ASGIApp:
        return Middleware(app, cast("Any", Book()), time.monotonic)

    async with serving(api, outer=[tracked]) as served:
        async with await anyio.connect_tcp(*served.address) as stream:
            await stream.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await slow.begun.wait()
        await slow.cancelled.wait()
    [(_, method, template, _, status, _)] = counted
    assert (method, template, status) == ("GET", "/slow", 499)


async def test_a_deadline_ends_a_handler(api: Api, serving: Serving) -> None:
    slow = Slow(api)
    async with serving(api) as served:
        answer = await served.client.get("/slow", headers={"X-Request-Timeout": "0.05"})
        assert answer.status_code == 504
        await slow.cancelled.wait()


async def test_a_stop_lets_what_is_under_way_finish(api: Api, serving: Serving) -> None:
    slow, answers = Slow(api), []
    async with serving(api) as served:
        await served.client.get("/hello/ada")  # its connection waits for a next request

        async def ask() -> None:
            async with httpx.AsyncClient(base_url=served.url) as client:
                answers.append(await client.get("/slow"))

        async with (
            anyio.create_task_group() as group,
            await anyio.connect_tcp(*served.address) as idle,
        ):
            group.start_soon(ask)
            await slow.begun.wait()
            served.stopping.set()
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await idle.receive()
            with pytest.raises(OSError, match=r".*"):
                await anyio.connect_tcp(*served.address)
            assert not served.over.is_set()
            slow.go.set()
        await served.over.wait()
    assert [answer.json() for answer in answers] == ["done"]


async def test_a_stop_cancels_what_takes_too_long(api: Api, serving: Serving) -> None:
    slow = Slow(api)
    async with serving(api, timeout=0.05) as served:

        async def ask() -> None:
            with pytest.raises(httpx.RemoteProtocolError):
                await served.client.get("/slow")

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await slow.begun.wait()
            served.stopping.set()
            await slow.cancelled.wait()
            await served.over.wait()


async def test_cancelling_the_server_cancels_its_requests(api: Api) -> None:
    slow, api.port = Slow(api), 0
    async with anyio.create_task_group() as clients:
        async with anyio.create_task_group() as group:

            async def run(*, task_status: Any) -> None:
                await serve_api(api, stopping=anyio.Event(), timeout=50, task_status=task_status)

            (url,) = await group.start(run)

            async def ask() -> None:
                async with httpx.AsyncClient() as client:
                    with pytest.raises(httpx.HTTPError):
                        await client.get(f"{url}/slow")

            clients.start_soon(ask)
            await slow.begun.wait()
            group.cancel_scope.cancel()
        assert slow.cancelled.is_set()


async def test_an_error_has_an_id_that_is_in_the_log(
    api: Api, serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    @api.get("/boom")
    async def boom() -> None:
        raise RuntimeError("the secret")

    async with serving(api) as served:
        answer = await served.client.get("/boom")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [answer.json()["id"] in record.getMessage() for record in errors] == [True]


async def test_a_websocket_passes_through(api: Api, serving: Serving) -> None:
    @api.app.websocket("/echo/<name>")
    async def echo(name: str) -> None:
        while True:
            await quart.websocket.send(f"{name}: {await quart.websocket.receive()}")

    async with serving(api) as served, await anyio.connect_tcp(*served.address) as stream:
        peer = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        await stream.send(peer.send(Request(host="x", target="/echo/ada")))
        received = peer_events(peer, stream)
        assert isinstance(await anext(received), AcceptConnection)
        for text in ("one", "two"):
            await stream.send(peer.send(TextMessage(data=text)))
            answer = await anext(received)
            assert isinstance(answer, TextMessage)
            assert answer.data == f"ada: {text}"
        await received.aclose()


async def peer_events(peer: wsproto.WSConnection, stream: SocketStream) -> AsyncGenerator[Any]:
    """What a server says, but its pings."""
    while True:
        peer.receive_data(await stream.receive())
        for event in peer.events():
            if not isinstance(event, Ping):
                yield event


async def test_given_sockets_are_served(api: Api, serving: Serving) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    api.port = 0
    stopping = anyio.Event()
    async with anyio.create_task_group() as group, httpx.AsyncClient() as client:

        async def run(*, task_status: Any) -> None:
            await serve_api(
                api, sockets=sockets, stopping=stopping, timeout=1, task_status=task_status
            )

        urls = await group.start(run)
        assert urls == [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            assert (await client.get(f"{url}/hello/ada")).status_code == 200
        stopping.set()


async def test_a_port_in_use_is_one_clear_line(api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        api.port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            await serve_api(api, stopping=anyio.Event(), timeout=1)
    assert str(caught.value) == (
        f"api served: port {api.port} of 127.0.0.1 is in use: stop what listens there, or choose"
        " another port"
    )
    api.host = "203.0.113.1"
    with pytest.raises(ConfigurationError, match="is no address of this machine"):
        await serve_api(api, stopping=anyio.Event(), timeout=1)


async def test_an_app_that_cannot_start_ends_the_server(api: Api) -> None:
    @api.app.before_serving
    async def before() -> None:
        raise RuntimeError("no database")

    api.port = 0
    with pytest.raises(ApiLifespanError, match="the app could not start: no database"):
        await serve_api(api, stopping=anyio.Event(), timeout=1)


async def test_any_asgi_app_is_served(serving: Serving) -> None:
    async def order(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["id"])

    async def by_hand(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http", "it knows no lifespan"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"by hand"})

    async with serving(Api.from_asgi(Starlette(routes=[Route("/orders/{id}", order)]))) as served:
        assert (await served.client.get("/orders/5")).text == "5"
        assert (await served.client.get("/runtime/health")).json() == {"status": "ok"}
    async with serving(Api.from_asgi(by_hand)) as served:
        assert (await served.client.get("/")).text == "by hand"
