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
from upnext import Api
from upnext.api.openapi.schema import Schemas


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
        (int, {"type": "integer"}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dict, {"type": "object"}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (datetime, {"type": "string", "format": "date-time"}),
        (Any, {}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            Point,
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "number"}],
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
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
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


async def test_an_api_without_documentation() -> None:
    async with asking(Api("a", openapi_url=None)) as client:
        assert (await client.get("/docs")).status_code == 404
        assert (await client.get("/openapi.json")).status_code == 404
