"""Requests that could be taken for two, or for others than they are, reach no app."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tests.support.wire import Wire, answers_in, by_llhttp
from upnext.api.ports import Receive, Scope, Send

HOST = b"Host: x\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
GOOD = b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"

REFUSED = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n",
    "two hosts in 1.0": b"GET / HTTP/1.0\r\n" + HOST * 2 + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "a later version": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "version 2 without its preface": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "another protocol": b"PLAY / RTSP/1.0\r\n" + HOST + b"\r\n",
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tls client": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a bare path": b"GET x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a control in the target": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "more than ascii in the target": b"GET /\xe9 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "a bare line feed in the head": b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a first header that is folded": b"GET / HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n",
    "a blank before the colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "a blank in a name": b"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n",
    "a zero byte": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    "a length and chunks": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n",
    "one length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 0\r\n\r\n",
    "no length": POST + b"Content-Length:\r\n\r\n",
    "a signed length": POST + b"Content-Length: +0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length in hex": POST + b"Content-Length: 0x0\r\n\r\n",
    "a length of two words": POST + b"Content-Length: 0 0\r\n\r\n",
    "a length beyond all bounds": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "a coding within": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding behind": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "almost chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "almost chunked, by a tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "no coding": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "chunked, chunked": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is no number": CHUNKED + b"z\r\n\r\n",
    "a chunk size in c": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a signed chunk size": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    "a blank before a chunk size": CHUNKED + b" 1\r\na\r\n0\r\n\r\n",
    "a blank behind a chunk size": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\na\r\n0\r\n\r\n",
    "a chunk size beyond all bounds": CHUNKED + b"f" * 17 + b"\r\na\r\n0\r\n\r\n",
    "a chunk size that ends in a line feed": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "an extension that ends in a line feed": CHUNKED + b"1;a\na\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"1\r\na0\r\n\r\n",
    "a chunk that ends in a line feed": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "a trailer that is no header": CHUNKED + b"0\r\nabc\r\n\r\n",
}


class App:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def asked(*pieces: bytes) -> tuple[list[str], list[int], Wire]:
    """What the app saw, and the answers' statuses; the server must close."""
    app, wire = App(), Wire(list(pieces))
    with anyio.fail_after(20):
        await by_llhttp(app, wire)
    assert wire.closed
    answers = answers_in(bytes(wire.sent), ["GET"] * 9)
    return app.asked, [answer[0] for answer in answers], wire


@pytest.mark.parametrize("name", REFUSED)
async def test_a_malformed_request_is_refused(name: str) -> None:
    data = REFUSED[name]
    seen, statuses, wire = await asked(data + SMUGGLED)
    assert (seen, statuses) == ([], [400])
    assert b"connection: close\r\n" in wire.sent
    assert wire.sent.endswith(b"\r\n\r\n"), "nothing of it is told"
    # What came before it is answered first.
    assert (await asked(GOOD + data + SMUGGLED))[:2] == (["/good"], [200, 400])
    assert (await asked(GOOD, data + SMUGGLED))[:2] == (["/good"], [200, 400])


@pytest.mark.parametrize(
    "name", [name for name in REFUSED if b"chunked\r\n\r\n" not in REFUSED[name]]
)
async def test_however_it_comes(name: str) -> None:
    data = REFUSED[name] + SMUGGLED
    seen, statuses, _ = await asked(*[data[n : n + 1] for n in range(len(data))])
    assert (seen, statuses) == ([], [400])


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 6_000 + b"\r\n",
        b"\r\n" * 20_000,
    ],
)
async def test_a_head_that_is_too_long_is_refused(data: bytes) -> None:
    pieces = [data[n : n + 1_000] for n in range(0, len(data), 1_000)]
    assert (await asked(*pieces))[:2] == ([], [431])


@pytest.mark.parametrize(
    "data",
    [b"1;" + b"a" * 40_000, b"0\r\nA: " + b"b" * 40_000, b"0\r\n" + b"A: b\r\n" * 6_000],
    ids=["an extension", "a trailer", "trailers"],
)
async def test_what_is_too_long_between_the_parts_of_a_body_is_refused(data: bytes) -> None:
    heard = list[Any]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200})

    wire = Wire([CHUNKED, *[data[n : n + 1_000] for n in range(0, len(data), 1_000)]])
    with anyio.fail_after(20):
        await by_llhttp(app, wire)
    assert heard == ["http.disconnect"]
    assert [answer[0] for answer in answers_in(bytes(wire.sent), ["POST"] * 2)] == [431]
    assert wire.closed


async def test_an_answer_that_began_is_cut_short_by_a_malformed_body() -> None:
    wire = Wire([CHUNKED])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        wire.add(b"nonsense\r\n")
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"cd"})

    with anyio.fail_after(20):
        await by_llhttp(app, wire)
    assert wire.sent.endswith(b"\r\n\r\n2\r\nab\r\n")


@pytest.mark.parametrize(
    "last",
    [b"GET /last HTTP/1.0\r\n\r\n", b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"],
)
async def test_what_follows_a_last_request_is_ignored(last: bytes) -> None:
    for behind in (SMUGGLED, b"nonsense\r\n\r\n"):
        assert (await asked(GOOD + last + behind))[:2] == (["/good", "/last"], [200, 200])
        assert (await asked(GOOD, last, behind))[:2] == (["/good", "/last"], [200, 200])


async def test_what_is_answered_before_it_is_read_is_the_last() -> None:
    head = POST + b"Content-Length: 1000\r\n\r\n"
    assert (await asked(head, SMUGGLED))[:2] == (["/"], [200])
    assert (await asked(head + b"x", SMUGGLED * 9))[:2] == (["/"], [200])
