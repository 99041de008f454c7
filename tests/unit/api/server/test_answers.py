"""What a client gets of what an app sends, or fails to send."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from tests.support.wire import Wire, answers_in, by_llhttp
from upnext.api.ports import Message, Receive, Scope, Send
from upnext.api.server.context import MOST_WAITING
from upnext.api.server.heads import BadAnswerError

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = (200, [(b"content-length", b"2")], b"ok")
FAILED = (500, [(b"connection", b"close"), (b"content-length", b"0")], b"")


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def length(n: int) -> tuple[bytes, bytes]:
    return (b"content-length", str(n).encode())


class App:
    """Sends these messages to the first request, and something simple to all others."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages
        self.calls = 0
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        try:
            for message in self.messages if self.calls == 1 else (start(length(2)), body(b"ok")):
                await send(message)
        except Exception as error:
            self.error = error
            raise


async def served(app: Any, *pieces: bytes) -> Wire:
    wire = Wire(list(pieces))
    with anyio.fail_after(20):
        await by_llhttp(app, wire)
    return wire


LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_an_answer_of_known_length_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes = list[bytes]()
    send = Wire.send

    async def noted(wire: Wire, data: bytes) -> None:
        writes.append(data)
        await send(wire, data)

    monkeypatch.setattr(Wire, "send", noted)
    await served(App(start(length(2)), body(b"ok")), LAST)
    assert [data[-6:] for data in writes] == [b"\r\n\r\nok"]


@pytest.mark.parametrize(
    ("messages", "first"),
    [
        ((start(length(4)), body(b"ab", more=True), body(b"cd")), (200, [length(4)], b"abcd")),
        ((start(length(0)), body(b"")), (200, [length(0)], b"")),
        (
            (start(), body(b"ab", more=True), body(b"", more=True), body(b"cd")),
            (200, [(b"transfer-encoding", b"chunked")], b"abcd"),
        ),
        ((start(status=204), body(b"dropped")), (204, [], b"")),
        ((start(length(9), status=304), body(b"")), (304, [length(9)], b"")),
    ],
)
async def test_an_answer_is_followed_by_the_next(
    messages: tuple[Message, ...], first: tuple[Any, ...]
) -> None:
    wire = await served(App(*messages), GET + LAST)
    closing = (200, sorted([*OK[1], (b"connection", b"close")]), b"ok")
    assert answers_in(bytes(wire.sent), ["GET", "GET"]) == [first, closing]


async def test_a_request_for_the_head_alone_gets_it_alone() -> None:
    asked = GET.replace(b"GET", b"HEAD")
    wire = await served(App(start(length(4)), body(b"abcd")), asked + LAST)
    first, second = answers_in(bytes(wire.sent), ["HEAD", "GET"])
    assert first == (200, [length(4)], b"")
    assert second[2] == b"ok"
    assert b"abcd" not in wire.sent


async def test_an_old_client_gets_no_chunks() -> None:
    wire = await served(
        App(start(), body(b"ab", more=True), body(b"cd")), b"GET / HTTP/1.0\r\n\r\n"
    )
    answer = answers_in(bytes(wire.sent), ["GET"])
    assert answer == [(200, [(b"connection", b"close")], b"abcd")]


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (start(length(4)),),
        (start(length(1)), body(b"ab")),
        (start(length(4)), body(b"ab")),
        (start((b"x", b"a\r\nb: c")), body(b"")),
        (start((b"x\r\ny", b"a")), body(b"")),
        (start(status=101), body(b"")),
        (body(b"early"),),
        ({"type": "http.response.trailers"},),
    ],
)
async def test_a_failure_before_anything_was_sent_is_a_500(messages: tuple[Message, ...]) -> None:
    app = App(*messages)
    wire = await served(app, GET + GET)
    assert answers_in(bytes(wire.sent), ["GET", "GET"]) == [FAILED]
    assert app.calls == 1, "nothing follows it"


@pytest.mark.parametrize(
    ("messages", "sent", "error"),
    [
        ((start(length(4)), body(b"ab", more=True)), b"\r\n\r\nab", None),
        ((start(length(4)), body(b"ab", more=True), body(b"c")), b"\r\n\r\nab", "shorter"),
        ((start(length(4)), body(b"ab", more=True), body(b"cde")), b"\r\n\r\nab", "longer"),
        ((start(), body(b"ab", more=True)), b"\r\n\r\n2\r\nab\r\n", None),
        ((start(), start(), body(b"ab")), b"\r\n\r\n", "next"),
    ],
)
async def test_an_answer_that_is_cut_short_is_the_last(
    messages: tuple[Message, ...], sent: bytes, error: str | None
) -> None:
    app = App(*messages)
    wire = await served(app, GET + GET)
    assert wire.sent.endswith(sent)
    assert answers_in(bytes(wire.sent), ["GET", "GET"]) == []
    assert (app.calls, wire.closed) == (1, True)
    if error is None:
        assert app.error is None
    else:
        with pytest.raises(BadAnswerError, match=error):
            raise app.error or AssertionError


async def test_what_comes_behind_an_answer_is_an_error_of_the_app_alone() -> None:
    app = App(start(length(2)), body(b"ok"), body(b"more"))
    wire = await served(app, GET + LAST)
    assert [each[0] for each in answers_in(bytes(wire.sent), ["GET", "GET"])] == [200, 200]
    assert b"more" not in wire.sent


async def test_an_app_that_closes_is_obeyed() -> None:
    app = App(start(length(2), (b"connection", b"close")), body(b"ok"))
    wire = await served(app, GET + GET)
    assert answers_in(bytes(wire.sent), ["GET", "GET"]) == [
        (200, [(b"connection", b"close"), length(2)], b"ok")
    ]
    assert (app.calls, wire.closed) == (1, True)


async def test_a_client_that_waits_for_it_is_told_to_continue() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n"
    wire = Wire([head])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert wire.sent == b"HTTP/1.1 100 \r\n\r\n"
        wire.sent.clear()
        wire.add(b"hi")
        message = await receive()
        await send(start(length(2)))
        await send(body(message["body"]))
        wire.end()

    with anyio.fail_after(20):
        await by_llhttp(app, wire)
    assert [each[2] for each in answers_in(bytes(wire.sent), ["POST"])] == [b"hi"]


async def test_a_body_waits_for_its_app() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    wire = Wire([head, *[b"x"] * 100])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.wait_all_tasks_blocked()
        taken = 0
        while (await receive())["more_body"]:
            taken += 1
            assert 100 - len(wire.pieces) - taken <= MOST_WAITING
        assert taken == 99
        await send(start(length(0)))
        await send(body(b""))
        wire.end()

    with anyio.fail_after(20):
        await by_llhttp(app, wire)
    assert wire.sent.startswith(b"HTTP/1.1 200 ")


async def test_requests_in_a_row_wait_for_their_turn() -> None:
    began = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began.append(scope["path"])
        await anyio.wait_all_tasks_blocked()
        assert len(began) == int(scope["path"][1:])
        await send(start(length(0)))
        await send(body(b""))

    asked = [b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(1, 5)]
    wire = await served(app, b"".join(asked), LAST.replace(b"/ ", b"/5 "))
    assert began == ["/1", "/2", "/3", "/4", "/5"]
    assert len(answers_in(bytes(wire.sent), ["GET"] * 5)) == 5


async def test_requests_in_a_row_know_nothing_of_each_other() -> None:
    mine: ContextVar[str] = ContextVar("mine", default="nobody's")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert mine.get() == "nobody's"
        mine.set(scope["path"])
        await send(start(length(0)))
        await send(body(b""))

    wire = await served(app, GET * 3 + LAST)
    assert len(answers_in(bytes(wire.sent), ["GET"] * 4)) == 4
