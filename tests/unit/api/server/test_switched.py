"""A client that asks for another protocol gets it, with what it sent already."""

from __future__ import annotations

import anyio
import h2.config
import h2.connection
import h2.events
import pytest

from tests.support.wire import Wire, answers_in, by_llhttp
from upnext.api.ports import Receive, Scope, Send

GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"
WEBSOCKET = (
    b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MASKED_HI = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"


class App:
    """Says what it was asked; ends the connection behind the last request."""

    def __init__(self, wire: Wire, last: str) -> None:
        self.wire, self.last = wire, last
        self.asked: list[tuple[str, str, bytes]] = []
        self.served = anyio.CancelScope()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._chat(receive, send)
        else:
            body = (await self._body(receive)) if scope["method"] != "CONNECT" else b""
            self.asked.append((scope["http_version"], scope["path"], body))
            answer = scope["path"].encode()
            headers = [(b"content-length", str(len(answer)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": answer})
        if scope["path"] == self.last:
            self.wire.end()

    async def _body(self, receive: Receive) -> bytes:
        message = await receive()
        rest = await self._body(receive) if message["more_body"] else b""
        return message["body"] + rest

    async def _chat(self, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        self.wire.add(MASKED_HI)
        message = await receive()
        self.asked.append(("websocket", "/chat", message["text"].encode()))
        await send({"type": "websocket.send", "text": "ho"})
        self.served.cancel()  # what pings a client stays for a while when he left


async def served(last: str, *pieces: bytes) -> tuple[App, Wire]:
    wire = Wire(list(pieces))
    app = App(wire, last)
    with anyio.fail_after(20), app.served:
        await by_llhttp(app, wire)
    return app, wire


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_websocket_behind_requests(size: int) -> None:
    data = GOOD + GOOD + WEBSOCKET
    app, wire = await served("/chat", *[data[n : n + size] for n in range(0, len(data), size)])
    assert app.asked == [
        ("1.1", "/good", b""),
        ("1.1", "/good", b""),
        ("websocket", "/chat", b"hi"),
    ]
    assert b"\r\n\r\n/goodHTTP/1.1 101 " in wire.sent
    assert b"\x81\x02ho" in wire.sent


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_http_2_from_the_start(size: int) -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    asked = [(":method", "GET"), (":path", "/two"), (":scheme", "http"), (":authority", "x")]
    client.send_headers(1, asked, end_stream=True)
    data = client.data_to_send()
    app, wire = await served("/two", *[data[n : n + size] for n in range(0, len(data), size)])
    assert app.asked == [("2", "/two", b"")]
    assert _http_2(client, bytes(wire.sent)) == b"/two"


async def test_http_2_behind_a_request() -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    offered = client.initiate_upgrade_connection()
    assert offered is not None
    upgrade = (
        b"GET /two HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: " + offered + b"\r\n\r\n"
    )
    app, wire = await served("/two", GOOD + upgrade, client.data_to_send())
    assert app.asked == [("1.1", "/good", b""), ("2", "/two", b"")]
    first, _, second = bytes(wire.sent).partition(b"\r\n\r\n/good")
    assert first.startswith(b"HTTP/1.1 200 ")
    head, _, frames = second.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert _http_2(client, frames) == b"/two"


def _http_2(client: h2.connection.H2Connection, data: bytes) -> bytes:
    events = client.receive_data(data)
    return b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))


@pytest.mark.parametrize("upgrade", [b"h2c", b"TLS/1.0", b"something"])
async def test_a_body_comes_before_an_upgrade_that_is_not_made(upgrade: bytes) -> None:
    asked = (
        b"POST /plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"
        b"Content-Length: 4\r\n\r\nbody" % upgrade
    )
    app, wire = await served("/plain", asked)
    assert app.asked == [("1.1", "/plain", b"body")]
    assert [each[0] for each in answers_in(bytes(wire.sent), ["POST"])] == [200]


async def test_almost_a_preface() -> None:
    for data in (b"PRI * HTTP/2.0\r\n\r\nGET ", b"PRI / HTTP/1.1\r\nHost: x\r\n\r\n"):
        app, wire = await served("", *[data[n : n + 1] for n in range(len(data))])
        assert [each[0] for each in answers_in(bytes(wire.sent), ["GET"])] == [400]
        assert app.asked == []
    data = b"PUT /put HTTP/1.1\r\nHost: x\r\n\r\n"
    app, _ = await served("/put", *[data[n : n + 1] for n in range(len(data))])
    assert app.asked == [("1.1", "/put", b"")]
