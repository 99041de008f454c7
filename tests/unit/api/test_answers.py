"""What handlers return, and what clients get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import pytest
import quart

from tests.support.asking import asking
from upnext import Api


@attrs.define
class User:
    name: str


@attrs.define
class Account(User):
    password: str = "secret"


async def parts() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


def sync_parts() -> Iterator[bytes]:
    yield b"c"
    yield b"d"


@pytest.mark.parametrize(
    ("result", "status", "body", "kind"),
    [
        ({"a": 1}, 200, b'{"a":1}', "application/json"),
        ([1, 2], 200, b"[1,2]", "application/json"),
        (None, 200, b"null", "application/json"),
        ("text", 200, b'"text"', "application/json"),
        (User("ada"), 200, b'{"name":"ada"}', "application/json"),
        ([User("ada")], 200, b'[{"name":"ada"}]', "application/json"),
        (({"a": 1}, 201), 201, b'{"a":1}', "application/json"),
        ((None, 204), 204, b"", None),
        (b"raw", 200, b"raw", None),
    ],
)
async def test_results(result: Any, status: int, body: bytes, kind: str | None) -> None:
    api = Api("answers")
    api.get("/")(lambda: result)
    async with asking(api) as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.content) == (status, body)
    if kind is not None:
        assert answer.headers["content-type"] == kind


async def test_headers_responses_and_streams() -> None:
    api = Api("answers")

    @api.get("/headers", status_code=202)
    async def headers() -> Any:
        return {"a": 1}, {"X-One": "1"}

    @api.get("/three")
    async def three() -> Any:
        return {"a": 1}, 201, {"X-One": "1"}

    @api.get("/response")
    async def response() -> quart.Response:
        return quart.Response("<p>", 203, content_type="text/html")

    @api.get("/stream")
    async def stream() -> AsyncIterator[bytes]:
        return parts()

    @api.get("/sync-stream")
    async def sync_stream() -> Iterator[bytes]:
        return sync_parts()

    async with asking(api) as client:
        answer = await client.get("/headers")
        assert (answer.status_code, answer.headers["x-one"]) == (202, "1")
        answer = await client.get("/three")
        assert (answer.status_code, answer.headers["x-one"]) == (201, "1")
        answer = await client.get("/response")
        assert (answer.status_code, answer.text) == (203, "<p>")
        assert (await client.get("/stream")).content == b"ab"
        assert (await client.get("/sync-stream")).content == b"cd"
        head = await client.head("/headers")
        assert (head.status_code, head.headers["content-length"]) == (202, "7")


async def test_a_model_tells_no_more_than_it_names() -> None:
    api = Api("answers")

    @api.get("/one", response_model=User)
    async def one() -> Account:
        return Account("ada")

    @api.get("/many", response_model=list[User])
    async def many() -> Any:
        return [Account("ada"), {"name": "bob", "password": "x"}]

    async with asking(api) as client:
        assert (await client.get("/one")).json() == {"name": "ada"}
        assert (await client.get("/many")).json() == [{"name": "ada"}, {"name": "bob"}]


@pytest.mark.parametrize("result", [object(), (1, 2, 3, 4)])
async def test_what_cannot_be_answered_is_an_error_of_the_handler(result: Any) -> None:
    api = Api("answers")
    api.get("/")(lambda: result)
    async with asking(api) as client:
        assert (await client.get("/")).status_code == 500
