"""How long a client of HTTP/2 may take for a stream, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from tests.support.virtual import virtual_backend
from tests.support.wire import Wire, by_llhttp
from upnext.api.ports import ASGIApp, Message, Receive, Scope, Send
from upnext.api.serve import IDLE_PATIENCE
from upnext.api.server.connection import BODY_PATIENCE, SEND_PATIENCE
from upnext.api.server.context import MOST_WAITING
from upnext.api.server.http2 import PIECE

LARGE = bytes(range(256)) * (10 * PIECE // 256)
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
SOON = 0.1
VERSION = ("sec-websocket-version", "13")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upnext.api.server.connection.monotonic", anyio.current_time)


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


class Peer:
    """A client that lets the server send so many bytes of each stream at first."""

    def __init__(self, window: int) -> None:
        self.wire = Wire([])
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.bodies: dict[int, bytes] = {}
        self.ended: dict[int, str] = {}
        self._heard = 0
        self.say()

    def say(self) -> None:
        self.wire.add(self.h2.data_to_send())

    def ask(
        self, stream_id: int, path: str = "/", *headers: tuple[str, str], whole: bool = True
    ) -> None:
        asked = [(":method", "GET" if whole else "POST"), (":path", path)]
        asked += [(":scheme", "http"), (":authority", "x"), *headers]
        self.h2.send_headers(stream_id, asked, end_stream=whole)
        self.say()

    def connect(self, *headers: tuple[str, str]) -> None:
        asked = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/")]
        asked += [(":scheme", "http"), (":authority", "x"), *headers]
        self.h2.send_headers(1, asked)
        self.say()

    def send(self, stream_id: int, data: bytes, *, last: bool = False) -> None:
        self.h2.send_data(stream_id, data, end_stream=last)
        self.say()

    def grant(self, stream_id: int | None, size: int) -> None:
        self.h2.increment_flow_control_window(size, stream_id)
        self.say()

    async def hear(self, after: float = SOON) -> None:
        """Take in what came until then."""
        await anyio.sleep(after)
        await anyio.wait_all_tasks_blocked()
        data = bytes(self.wire.sent[self._heard :])
        self._heard += len(data)
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                known = self.bodies.get(event.stream_id, b"")
                self.bodies[event.stream_id] = known + event.data
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.setdefault(event.stream_id, "whole")
            elif isinstance(event, h2.events.StreamReset):
                self.ended[event.stream_id] = event.error_code.name  # type: ignore[union-attr]
        self.say()


@asynccontextmanager
async def serving(app: ASGIApp, *, window: int = 1 << 20) -> AsyncIterator[Peer]:
    peer = Peer(window)
    async with anyio.create_task_group() as group:
        group.start_soon(by_llhttp, app, peer.wire)
        await peer.hear()
        yield peer
        group.cancel_scope.cancel()


class App:
    """Answers with what stands for a path; notes when it is through, and what it heard."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.through: dict[str, float] = {}
        self.heard: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"][1:]
        await send(START)
        await send(body(self.answers[path]))
        self.through[path] = anyio.current_time()
        self.heard.append((await receive())["type"])


@pytest.mark.parametrize("answer", [b"short", LARGE], ids=["short", "large"])
async def test_an_answer_that_the_client_does_not_take_is_given_up_and_the_others_are_not(
    answer: bytes,
) -> None:
    app = App(one=answer, two=b"two")
    async with serving(app, window=0) as peer:
        began = anyio.current_time()
        peer.ask(1, "/one")
        await peer.hear(SEND_PATIENCE - 2 * SOON)
        peer.ask(3, "/two")
        peer.grant(3, 10)
        await peer.hear()
        assert peer.ended == {3: "whole"}
        assert "one" not in app.through
        await peer.hear(2 * SOON)
        assert peer.ended == {1: "CANCEL", 3: "whole"}
        assert app.through["one"] - began == pytest.approx(SEND_PATIENCE)
        assert not peer.wire.closed
        await peer.hear(IDLE_PATIENCE)
        assert peer.wire.closed


async def test_a_client_that_takes_an_answer_slowly_gets_it_whole() -> None:
    app = App(one=LARGE)
    async with serving(app, window=0) as peer:
        peer.ask(1, "/one")
        for _ in range(len(LARGE) // PIECE):
            await peer.hear(SEND_PATIENCE / 3)
            peer.grant(1, PIECE)
            peer.grant(None, PIECE)
        await peer.hear()
        assert peer.ended == {1: "whole"}
        assert peer.bodies[1] == LARGE


async def test_a_client_that_takes_a_byte_now_and_then_takes_it_too_slowly() -> None:
    async with serving(App(one=LARGE), window=0) as peer:
        peer.ask(1, "/one")
        for _ in range(4):
            await peer.hear(SEND_PATIENCE / 3)
            if not peer.ended:
                peer.grant(1, 1)
        assert peer.ended == {1: "CANCEL"}


async def test_an_app_that_computes_or_has_nothing_to_say_is_not_hurried() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert not (await receive())["more_body"]
        if scope["path"] == "/computes":
            await anyio.sleep(10 * SEND_PATIENCE)
        await send(START)
        await send(body(b"a", more=True))
        await anyio.sleep(10 * SEND_PATIENCE)
        await send(body(b"b"))

    async with serving(app) as peer:
        peer.ask(1, "/computes")
        peer.ask(3, "/quiet")
        await peer.hear(20 * SEND_PATIENCE + SOON)
        assert peer.ended == {1: "whole", 3: "whole"}
        assert peer.bodies == {1: b"ab", 3: b"ab"}


@pytest.mark.parametrize("parts", [0, 3])
async def test_a_body_that_does_not_come_ends_its_request(parts: int) -> None:
    heard = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while heard.append((message := await receive())["type"]) or message.get("more_body"):
            pass

    async with serving(app) as peer:
        peer.ask(1, whole=False)
        for _ in range(parts):
            await peer.hear(BODY_PATIENCE - 2 * SOON)
            peer.send(1, b"x")
        await peer.hear(BODY_PATIENCE - SOON)
        assert peer.ended == {}
        await peer.hear(2 * SOON)
        assert peer.ended == {1: "CANCEL"}
        assert heard == ["http.request"] * parts + ["http.disconnect"]


async def test_a_client_whose_body_is_here_may_wait_for_long() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        with anyio.move_on_after(10 * BODY_PATIENCE):
            await receive()  # that he left
        await send(START)
        await send(body(b"here"))

    async with serving(app) as peer:
        peer.ask(1, whole=False)
        peer.send(1, b"x", last=True)
        await peer.hear(10 * BODY_PATIENCE + SOON)
        assert peer.bodies == {1: b"here"}


class Deaf:
    """Does not read its body until it is told; answers others at once."""

    def __init__(self) -> None:
        self.go = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/deaf":
            await self.go.wait()
        while scope["path"] != "/large" and (await receive())["more_body"]:
            pass
        await send(START)
        await send(body(LARGE[: 2 * PIECE] if scope["path"] == "/large" else b"here"))


async def test_a_client_is_not_late_while_another_request_keeps_him_from_being_heard() -> None:
    app = Deaf()
    async with serving(app, window=0) as peer:
        peer.ask(1, "/deaf", whole=False)
        peer.ask(3, "/large")
        peer.ask(5, "/reads", whole=False)
        for _ in range(MOST_WAITING + 1):
            peer.send(1, b"x")
        for stream_id in (None, 1, 3, 5):
            peer.grant(stream_id, 2 * PIECE)
        peer.send(1, b"", last=True)
        peer.send(5, b"x", last=True)
        await peer.hear(2.5 * SEND_PATIENCE)
        assert peer.ended == {}
        app.go.set()
        await peer.hear()
        assert peer.ended == {1: "whole", 3: "whole", 5: "whole"}


async def test_a_request_is_no_excuse_for_itself() -> None:
    app = App(one=LARGE)
    async with serving(app, window=0) as peer:
        peer.ask(1, "/one", whole=False)
        for _ in range(MOST_WAITING + 1):
            peer.send(1, b"x")
        await peer.hear(SEND_PATIENCE + SOON)
        assert peer.ended == {1: "CANCEL"}
        assert app.through


@pytest.mark.parametrize("leaves", [True, False])
async def test_an_app_hears_at_once_that_the_client_who_took_nothing_wants_nothing(
    leaves: bool,
) -> None:
    app = App(one=LARGE)
    async with serving(app, window=0) as peer:
        peer.ask(1, "/one", whole=False)
        for _ in range(MOST_WAITING):  # as much as waits for it
            peer.send(1, b"x")
        await peer.hear()
        began = anyio.current_time()
        if leaves:
            peer.wire.end()
        else:
            peer.h2.reset_stream(1)
            peer.say()
        await anyio.wait_all_tasks_blocked()
        assert app.through == {"one": began}


async def test_an_app_that_goes_on_sending_to_nobody_lets_others_have_their_turns() -> None:
    left = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def hear() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

        async with anyio.create_task_group() as group:
            group.start_soon(hear)
            await send(START)
            while not left.is_set():
                await send(body(LARGE, more=True))

    async with serving(app, window=0) as peer:
        peer.ask(1)
        await peer.hear(SEND_PATIENCE + SOON)
        assert peer.ended == {1: "CANCEL"}
        assert left.is_set()


async def test_a_body_that_goes_on_behind_its_answer_is_not_read() -> None:
    async with serving(App(one=b"one", two=b"two")) as peer:
        peer.ask(1, "/one", whole=False)
        await peer.hear()
        peer.send(1, b"x")
        peer.ask(3, "/two")
        await peer.hear()
        assert peer.bodies == {1: b"one", 3: b"two"}
        assert not peer.wire.closed


@pytest.mark.parametrize("quiet", [True, False])
async def test_a_websocket_may_be_quiet_but_not_leave_what_it_is_sent(quiet: bool) -> None:
    over = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if not quiet:
            await send({"type": "websocket.send", "bytes": LARGE})
        over.append((await receive())["type"])

    async with serving(app, window=1000) as peer:
        peer.connect(VERSION)
        await peer.hear(SEND_PATIENCE + SOON)
        assert peer.ended == ({} if quiet else {1: "CANCEL"})
        assert over == ([] if quiet else ["websocket.disconnect"])


async def test_a_large_message_of_a_websocket_may_take_long_as_long_as_it_gets_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": LARGE})
        await receive()

    async with serving(app, window=0) as peer:
        peer.connect(VERSION)
        for _ in range(len(LARGE) // PIECE + 1):
            await peer.hear(SEND_PATIENCE / 3)
            peer.grant(1, PIECE)
            peer.grant(None, PIECE)
        await peer.hear()
        assert peer.ended == {}
        assert LARGE in peer.bodies[1]


@pytest.mark.parametrize("takes", [True, False])
async def test_what_follows_a_body_waits_for_the_client_as_long_as_the_body(takes: bool) -> None:
    through = list[float]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START | {"trailers": True})
        await send(body(b"short"))
        await send({"type": "http.response.trailers", "headers": [(b"a", b"b")]})
        through.append(anyio.current_time())

    async with serving(app, window=0) as peer:
        peer.ask(1, "/", ("te", "trailers"))
        await peer.hear(SEND_PATIENCE - SOON)
        assert peer.ended == {}
        if takes:
            peer.grant(1, 10)
        await peer.hear(2 * SOON)
        assert peer.ended == {1: "whole" if takes else "CANCEL"}
        assert len(through) == 1


@pytest.mark.parametrize("asks", ["nothing", "and takes it back", "for what there is not"])
async def test_a_client_without_a_request_may_not_stay(asks: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async with serving(app) as peer:
        if asks == "and takes it back":
            peer.ask(1, whole=False)
            await peer.hear()
            peer.h2.reset_stream(1)
            peer.say()
        elif asks == "for what there is not":
            peer.connect()
        await peer.hear(IDLE_PATIENCE - 3 * SOON)
        assert not peer.wire.closed
        await peer.hear(4 * SOON)
        assert peer.wire.closed
