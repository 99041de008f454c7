"""Handlers get their arguments by their signatures; what does not fit is said field by field."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, TypedDict

import attrs
import pydantic
import pytest
import quart

from tests.support.asking import asking
from upnext import Api, ConfigurationError


@attrs.define
class Item:
    name: str
    price: float = 1.0


@attrs.define
class Order:
    items: list[Item]
    note: str = ""


@dataclass
class Data:
    count: int
    tags: list[str] = field(default_factory=list)


class Typed(TypedDict):
    count: int


class Model(pydantic.BaseModel):
    count: int
    name: str = "x"


def problem(loc: list[str | int], msg: str, expected: str = "") -> dict[str, Any]:
    return {"loc": loc, "msg": msg} | ({"expected": expected} if expected else {})


async def test_path_query_and_defaults() -> None:
    api = Api("bind")

    @api.get("/orders/{id}/lines/<int:line>")
    async def get(
        id: int,
        line: int,
        q: str = "all",
        limit: int = 10,
        tags: tuple[int, ...] = (),
        *,
        deep: bool,
    ) -> dict[str, Any]:
        return {"id": id, "line": line, "q": q, "limit": limit, "tags": tags, "deep": deep}

    async with asking(api) as client:
        answer = await client.get("/orders/5/lines/2?tags=1&tags=2&deep=yes&unknown=1")
        assert answer.json() == {
            "id": 5, "line": 2, "q": "all", "limit": 10, "tags": [1, 2], "deep": True,
        }  # fmt: skip
        answer = await client.get("/orders/x/lines/2?limit=ten&tags=1&tags=b")
        assert answer.status_code == 422
        assert answer.json() == {
            "detail": [
                problem(["path", "id"], "'x' is not an integer", "an integer"),
                problem(["query", "limit"], "'ten' is not an integer", "an integer"),
                problem(["query", "tags"], "'b' is not an integer", "many of: an integer"),
                problem(["query", "deep"], "missing", "true or false"),
            ]
        }
        assert (await client.get("/orders/1/lines/x")).status_code == 404


@pytest.mark.parametrize(
    ("hint", "sent", "got"),
    [
        (dict, {"a": [1]}, {"a": [1]}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Order, {"items": [{"name": "pen"}]}, Order([Item("pen")])),
        (Order | None, {"items": []}, Order([])),
        (list[Item], [{"name": "pen", "price": 2}], [Item("pen", 2.0)]),
        (Data, {"count": 1, "tags": ["a"]}, Data(1, ["a"])),
        (Typed, {"count": 1}, {"count": 1}),
        (Model, {"count": 1}, Model(count=1)),
    ],
)
async def test_a_body(hint: Any, sent: Any, got: Any) -> None:
    api, bodies = Api("bind"), []

    async def post(body: Any, q: int = 0) -> None:
        bodies.append((body, q))

    post.__annotations__ = {"body": hint, "q": int}
    api.post("/")(post)
    async with asking(api) as client:
        answer = await client.post("/?q=3", json=sent)
    assert answer.status_code == 200, answer.text
    assert bodies == [(got, 3)]
    assert type(bodies[0][0]) is type(got)


@pytest.mark.parametrize(
    ("hint", "sent", "problems"),
    [
        (Order, b"", [problem(["body"], "missing", "an object (Order)")]),
        (Order, b"[]", [problem(["body"], "[] is not an object (Order)", "an object (Order)")]),
        (Order, b'{"items": 5}', [problem(["body", "items"], "5 is not a list")]),
        (Order, b"{}", [problem(["body", "items"], "missing")]),
        (
            Order,
            b'{"items": [{"name": "a"}, {"name": "b", "price": "c"}]}',
            [problem(["body", "items", 1, "price"], "'c' is not a number")],
        ),
        (dict, b"3", [problem(["body"], "3 is not an object", "an object")]),
        (Data, b'{"count": "x"}', [problem(["body", "count"], "'x' is not an integer")]),
        (
            Model,
            b'{"count": "x", "name": 3}',
            [
                problem(
                    ["body", "count"],
                    "Input should be a valid integer, unable to parse string as an integer",
                ),
                problem(["body", "name"], "Input should be a valid string"),
            ],
        ),
    ],
)
async def test_a_body_that_does_not_fit(hint: Any, sent: bytes, problems: Any) -> None:
    api = Api("bind")

    async def post(body: Any) -> None:
        raise AssertionError("called")

    post.__annotations__ = {"body": hint}
    api.post("/")(post)
    async with asking(api) as client:
        headers = {"Content-Type": "application/json"}
        answer = await client.post("/", content=sent, headers=headers)
    assert answer.status_code == 422
    assert answer.json() == {"detail": problems}


LEAST, MOST = -(2**63), 2**63 - 1


@pytest.mark.parametrize("number", [LEAST, MOST, 0])
async def test_integers_of_64_bits_are_taken_wherever_they_stand(number: int) -> None:
    api, got = integers()
    async with asking(api) as client:
        body = {"one": {"a": number}, "many": [number], "other": number}
        answer = await client.post(f"/{number}?q={number}", json=body)
        assert answer.status_code == 200, answer.text
        assert (await client.get(f"/typed/{MOST}")).json() == MOST
    assert got == [(number, number, Numbers({"a": number}, [number], number))]


@pytest.mark.parametrize("number", [LEAST - 1, MOST + 1, 2**64, 10**30, -(10**30)])
async def test_longer_integers_are_refused_in_words_that_are_true(number: int) -> None:
    api, got = integers()
    async with asking(api) as client:
        body = f'{{"one": {{}}, "many": [1, {number}]}}'
        headers = {"Content-Type": "application/json"}
        answer = await client.post(f"/{number}?q={number}", content=body, headers=headers)
        assert answer.status_code == 422
        found = {tuple(each["loc"]): each["msg"] for each in answer.json()["detail"]}
        answer = await client.get(f"/typed/{abs(number)}")
        assert answer.status_code == (200 if abs(number) <= MOST else 422)
    assert set(found) == {("path", "id"), ("query", "q"), ("body", "many", 1)}
    assert found["path", "id"] == found["query", "q"]
    assert found["query", "q"] == f"{number} is not within 64 bits ({LEAST} to {MOST})"
    assert found["body", "many", 1].endswith(f" is not within 64 bits ({LEAST} to {MOST})")
    assert got == []


async def test_a_number_that_need_not_be_an_integer_may_be_long() -> None:
    api = Api("bind")

    @api.post("/")
    async def post(item: Item) -> float:
        return item.price

    async with asking(api) as client:
        assert (await client.post("/", json={"name": "star", "price": 10**20})).json() == 1e20


@attrs.define
class Numbers:
    one: dict[str, int]
    many: list[int]
    other: int | str = 0


def integers() -> tuple[Api, list[Any]]:
    api, got = Api("bind"), list[Any]()

    @api.post("/{id}")
    async def post(id: int, q: int, body: Numbers) -> None:
        got.append((id, q, body))

    @api.get("/typed/{id:int}")
    async def read(id: int) -> int:
        return id

    return api, got


async def test_all_that_is_wrong_is_said_at_once() -> None:
    api = Api("bind")

    @api.post("/{id}")
    async def post(id: int, order: Order, q: int) -> None: ...

    async with asking(api) as client:
        answer = await client.post("/x", json={})
    assert [found["loc"] for found in answer.json()["detail"]] == [
        ["path", "id"], ["query", "q"], ["body", "items"],
    ]  # fmt: skip


async def test_a_body_of_another_type_or_none() -> None:
    api = Api("bind")

    @api.post("/")
    async def post(order: Order | None = None) -> dict[str, bool]:
        return {"given": order is not None}

    async with asking(api) as client:
        assert (await client.post("/")).json() == {"given": False}
        answer = await client.post("/", content=b"{}", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415
        assert "must be application/json, not 'text/plain'" in answer.json()["detail"]
        headers = {"Content-Type": "application/json"}
        answer = await client.post("/", content=b"{", headers=headers)
        assert answer.status_code == 422
        assert "not valid JSON" in answer.json()["detail"][0]["msg"]


async def test_a_sync_handler_runs_in_a_thread_and_may_ask_for_the_request() -> None:
    api = Api("bind")

    @api.get("/")
    def get(request: quart.Request) -> dict[str, Any]:
        here = threading.current_thread() is threading.main_thread()
        return {"main": here, "path": request.path, "same": quart.request.path}

    async with asking(api) as client:
        assert (await client.get("/")).json() == {"main": False, "path": "/", "same": "/"}


def two_bodies(a: Order, b: Data) -> None: ...


def stars(*args: int) -> None: ...


def positional(id: int, /) -> None: ...


def body(order: Order) -> None: ...


@pytest.mark.parametrize(
    ("handler", "path", "method", "words"),
    [
        (two_bodies, "/", "POST", "'a' and 'b' would both be the body"),
        (stars, "/", "GET", r"takes \*args: name each parameter"),
        (positional, "/{id}", "GET", "must not be positional-only"),
        (body, "/", "GET", "the body of a GET request, which has none"),
        (body, "/{id}", "POST", "has no parameter 'id', which its path names"),
    ],
)
def test_a_handler_that_no_request_can_fill_is_refused(
    handler: Any, path: str, method: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Api("bind").route(path, [method])(handler)
