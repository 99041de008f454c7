"""What llhttp makes of a client's bytes is what h11 made of them, however they are cut."""

from __future__ import annotations

import string
from typing import Any

import anyio
import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.wire import Serve, Wire, answers_in, by_h11, by_llhttp
from upnext.api.leaving import LEAVING
from upnext.api.ports import Message, Receive, Scope, Send

TOKEN = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters
FRAMING = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect"}
VISIBLE = bytes([*range(0x21, 0x7F), *range(0x80, 0x100)])


@define
class Planned:
    """A request, and what the app answers to it."""

    method: str
    data: bytes
    answer: list[Message]


words = st.text(TOKEN, min_size=1, max_size=12)
values = st.lists(
    st.lists(st.sampled_from(VISIBLE), min_size=1, max_size=8).map(bytes), max_size=3
).map(b" \t ".join)
blanks = st.sampled_from([b"", b" ", b"\t", b" \t "])
bodies = st.binary(max_size=60)
segments = st.sampled_from(
    ["a", "B7", "%41", "%2f", "%25", "%e2%98%83", "%ff", "~._-", ";x=1", "+", '|"<>{}^`\\']
)
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
queries = st.sampled_from(["", "?", "?a=b&c=%20", "?x=%ff?y"])


@st.composite
def headers(draw: Any) -> list[bytes]:
    lines = []
    for name in draw(st.lists(words, max_size=4)):
        if name.lower() not in FRAMING:
            value = draw(blanks) + draw(values) + draw(blanks)
            lines.append(name.encode() + b":" + value)
    return lines


@st.composite
def framed(draw: Any) -> tuple[list[bytes], bytes]:
    """Headers that say how long a body is, and the body."""
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "none":
        return [], b""
    if kind == "length":
        body = draw(bodies)
        name = draw(st.sampled_from([b"Content-Length", b"content-length"]))
        return [name + b": %d" % len(body)], body
    data = b""
    for chunk in draw(st.lists(bodies.filter(bool), max_size=4)):
        extension = draw(st.sampled_from([b"", b";a=b", b';q="r s"']))
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(chunk)
        data += size + extension + b"\r\n" + chunk + b"\r\n"
    trailer = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
    coding = draw(st.sampled_from([b"chunked", b"Chunked"]))
    return [b"Transfer-Encoding: " + coding], data + b"0\r\n" + trailer + b"\r\n"


@st.composite
def answers(draw: Any) -> list[Message]:
    status = draw(st.sampled_from([200, 200, 201, 204, 304, 404, 503]))
    parts = draw(st.lists(bodies, max_size=3))
    given_headers = [(b"x-n", draw(values)) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        given_headers.append((b"Content-Length", str(sum(map(len, parts))).encode()))
    start = {"type": "http.response.start", "status": status, "headers": given_headers}
    body = [{"type": "http.response.body", "body": part, "more_body": True} for part in parts]
    return [start, *body, {"type": "http.response.body", "body": b""}]


@st.composite
def requests(draw: Any, *, last: bool) -> Planned:
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]))
    form = draw(st.sampled_from(["", "", "", "http://there:80"]))
    target = form + draw(paths) + draw(queries)
    if method == "OPTIONS" and draw(st.booleans()):
        target = "*"
    framing, body = draw(framed())
    lines = [*draw(headers()), *framing, b"Host: there"]
    version = b"HTTP/1.1"
    if last:
        ending = draw(st.sampled_from(["stays", "closes", "old"]))
        if ending == "closes":
            lines.append(b"Connection: x, Close")
        elif ending == "old" and not (framing and framing[0].startswith(b"Transfer")):
            version = b"HTTP/1.0"
            lines.append(b"Connection: keep-alive")
    if draw(st.booleans()) and framing:
        lines.append(b"Expect: 100-continue")
    lines = draw(st.permutations(lines))
    head = b"%b %b %b\r\n" % (method.encode(), target.encode(), version)
    return Planned(method, head + b"\r\n".join(lines) + b"\r\n\r\n" + body, draw(answers()))


@st.composite
def pipelines(draw: Any) -> tuple[list[Planned], list[bytes]]:
    """Requests one behind the other, and the pieces in which their bytes come."""
    planned = [draw(requests(last=False)) for _ in range(draw(st.integers(0, 3)))]
    planned.append(draw(requests(last=True)))
    data = b"".join(each.data for each in planned)
    cuts = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=12)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return planned, pieces


async def exchanged(serve: Serve, planned: list[Planned], pieces: list[bytes]) -> Any:
    """What the app sees, and what the client is answered."""
    wire, seen, busy = Wire(list(pieces)), list[Any](), False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal busy
        assert not busy, "two requests of a client at once"
        busy = True
        asked = planned[len(seen)]
        body = b""
        while True:
            message = await receive()
            assert message["type"] == "http.request"
            body += message["body"]
            if not message["more_body"]:
                break
        assert not scope["extensions"].pop(LEAVING).gone
        seen.append((dict(scope), body))
        for message in asked.answer:
            if message is asked.answer[-1]:
                busy = False
            await send(message)
        assert (await receive())["type"] == "http.disconnect"
        if len(seen) == len(planned):
            wire.end()

    with anyio.fail_after(20):
        await serve(app, wire)
    return seen, answers_in(bytes(wire.sent), [each.method for each in planned])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=250)
@given(pipeline=pipelines())
def test_both_parsers_agree(backend: str, pipeline: tuple[list[Planned], list[bytes]]) -> None:
    planned, pieces = pipeline
    ours = anyio.run(exchanged, by_llhttp, planned, pieces, backend=backend)
    theirs = anyio.run(exchanged, by_h11, planned, pieces, backend=backend)
    assert len(ours[0]) == len(ours[1]) == len(planned)
    assert ours == theirs
