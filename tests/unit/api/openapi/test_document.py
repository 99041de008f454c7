"""The documentation says what the signatures say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import attrs
import pydantic
import pytest

from tests.support.asking import asking
from upnext import Api, ConfigurationError
from upnext.api.openapi.schema import Schemas

INTEGER = {
    "type": "integer",
    "format": "int64",
    "minimum": -9223372036854775808,
    "maximum": 9223372036854775807,
}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@attrs.define
class Node:
    """A node of a tree."""

    name: str
    children: list[Node] = attrs.field(factory=list)


@dataclass
class Data:
    count: int
    at: datetime | None = None


class Typed(TypedDict):
    one: int
    two: NotRequired[str]


class Point(NamedTuple):
    x: int
    y: float


class Inner(pydantic.BaseModel):
    a: int


class Model(pydantic.BaseModel):
    inner: Inner


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (int, INTEGER),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (list[int], {"type": "array", "items": INTEGER}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (dict, {"type": "object"}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (datetime, {"type": "string", "format": "date-time"}),
        (Any, {}),
        (tuple[int, ...], {"type": "array", "items": INTEGER}),
        (
            Point,
            {
                "type": "array",
                "prefixItems": [INTEGER, {"type": "number"}],
                "items": False,
                "minItems": 2,
            },
        ),
    ],
)
def test_schemas(hint: Any, schema: Any) -> None:
    assert Schemas().of(hint) == schema


def test_classes_are_described_once() -> None:
    schemas = Schemas()
    for hint in (Node, Data, Typed, Colour, Model, list[Node]):
        schemas.of(hint)
    assert schemas.of(Node) == {"$ref": "#/components/schemas/Node"}
    assert schemas.components["Node"] == {
        "type": "object",
        "title": "Node",
        "description": "A node of a tree.",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        },
        "required": ["name"],
    }
    assert schemas.components["Data"]["required"] == ["count"]
    assert schemas.components["Typed"]["required"] == ["one"]
    assert schemas.components["Colour"] == {"title": "Colour", "enum": ["red", "blue"]}
    assert set(schemas.components) == {"Node", "Data", "Typed", "Colour", "Model", "Inner"}


async def test_the_document_and_its_page() -> None:
    api = Api("shop", version="2.0")

    @api.post("/orders/{id}", status_code=201, tags=["orders"])
    async def create(id: int, node: Node, q: str = "x") -> Data:
        """Make an order.

        At once.
        """
        return Data(1)

    @api.get("/hidden", include_in_schema=False)
    async def hidden() -> None: ...

    async with asking(api) as client:
        document = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "shop", "version": "2.0"}
    assert list(document["paths"]) == ["/orders/{id}"]
    operation = document["paths"]["/orders/{id}"]["post"]
    assert operation["operationId"] == "create_post"
    assert operation["summary"] == "Make an order."
    assert operation["description"] == "At once."
    assert operation["tags"] == ["orders"]
    assert operation["parameters"] == [
        {"name": "id", "in": "path", "required": True, "schema": INTEGER},
        {
            "name": "q",
            "in": "query",
            "required": False,
            "schema": {"type": "string", "default": "x"},
        },
    ]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Node"}
    assert set(operation["responses"]) == {"201", "422"}
    assert page.headers["content-type"].startswith("text/html")
    assert 'fetch("/openapi.json")' in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text  # it loads nothing from elsewhere


async def test_other_answers_are_documented() -> None:
    @attrs.define
    class Error:
        code: int

    api = Api("shop")
    orders = api.group("/orders", responses={404: "there is no such order", 202: None})

    @orders.get("/{id}", responses={409: Error, 503: "nobody is there", 301: "it moved"})
    async def read(id: int) -> Data: ...

    @orders.post("/{id}", status_code=202, responses={404: None, 422: list[str]})
    async def change(id: int) -> Data: ...

    async with asking(api) as client:
        document = (await client.get("/openapi.json")).json()
    of = document["paths"]["/orders/{id}"]
    get, post = of["get"]["responses"], of["post"]["responses"]

    def schema(answer: Any) -> Any:
        return answer["content"]["application/json"]["schema"]

    assert set(get) == {"200", "202", "301", "404", "409", "422", "503"}
    assert get["202"] == {"description": "Accepted"}
    assert get["301"] == {"description": "it moved"}
    assert get["404"]["description"] == "there is no such order"
    assert get["409"]["description"] == "Conflict"
    schemas = document["components"]["schemas"]
    told = schemas[schema(get["404"])["$ref"].rpartition("/")[2]]
    assert told["properties"] == {"detail": {"type": "string"}}
    assert schema(get["404"]) == schema(get["503"])
    own = schemas[schema(get["409"])["$ref"].rpartition("/")[2]]
    assert set(own["properties"]) == {"code"}  # a class of the user's is not taken for ours
    assert schema(post["202"]) == {"$ref": "#/components/schemas/Data"}
    assert post["404"] == {"description": "Not Found"}
    assert schema(post["422"]) == {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize(
    ("responses", "words"),
    [
        ({99: None}, "99 is no status"),
        ({"404": None}, "'404' is no status"),
        ({201: None}, "201 is the usual answer"),
    ],
)
def test_answers_that_cannot_be_are_refused(responses: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Api("shop").get("/", status_code=201, responses=responses)


async def test_an_api_without_documentation() -> None:
    async with asking(Api("a", openapi_url=None)) as client:
        assert (await client.get("/docs")).status_code == 404
        assert (await client.get("/openapi.json")).status_code == 404
