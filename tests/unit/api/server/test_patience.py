"""How long a client may take for what he is sent, in virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from attrs import define

from tests.support.virtual import virtual_backend
from tests.support.wire import Wire, answers_in, by_llhttp
from upnext.api.ports import Receive, Scope, Send
from upnext.api.server.connection import PIECE, SEND_PATIENCE

LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LARGE = bytes(range(256)) * (5 * PIECE // 256)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


@define(eq=False, slots=False)
class Steady(Wire):
    """A client that takes so many bytes a second, and goes on doing so."""

    rate: float

    async def send(self, data: bytes) -> None:
        await anyio.sleep(len(data) / self.rate)
        await super().send(data)


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"%d" % len(LARGE))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": LARGE})


async def test_a_large_answer_may_take_long_as_long_as_it_gets_on() -> None:
    wire = Steady([LAST], PIECE / SEND_PATIENCE * 1.1)
    began = anyio.current_time()
    await by_llhttp(large, wire)
    assert anyio.current_time() - began > 4 * SEND_PATIENCE
    assert [body for *_, body in answers_in(bytes(wire.sent), ["GET"])] == [LARGE]


async def test_a_client_that_takes_a_piece_too_slowly_is_dropped() -> None:
    wire = Steady([LAST], PIECE / SEND_PATIENCE * 0.9)
    began = anyio.current_time()
    await by_llhttp(large, wire)
    assert anyio.current_time() - began == pytest.approx(SEND_PATIENCE)
    assert not wire.sent
