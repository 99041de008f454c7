"""What goes through the codec comes back the same, or is refused where it is written."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.contracts.codec import MOST_BYTES, ResultCodec
from upnext.errors import CodecError


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Shape(Enum):
    BOX = (1, 2)


@attrs.frozen
class Item:
    price: float
    name: str = "x"


@attrs.frozen
class Order:
    items: list[Item]
    placed: datetime | None = None
    note: str | None = None


@dataclass
class Point:
    x: int
    y: int


@dataclass
class Node:
    value: int
    child: Node | None = None


@dataclass
class Point3(Point):
    z: int


class NamedPoint(Point):
    """No further fields."""


class Movie(TypedDict):
    title: str
    seen: date


class Pair(NamedTuple):
    left: int
    right: Decimal


class Twins(NamedTuple):
    left: str
    right: str


@attrs.frozen
class Bare:
    a: list
    b: tuple
    c: set
    d: Sequence[str]


@attrs.frozen
class Branch:
    twigs: tuple[Branch | None, Branch | None]


@attrs.frozen
class Circle:
    radius: float


@attrs.frozen
class Ring(Circle):
    hole: float


@attrs.frozen
class Square:
    radius: float


UserId = NewType("UserId", int)
MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=2)))
SOME_UUID = UUID("12345678123456781234567812345678")


def through(hint: Any, value: Any) -> Any:
    codec = ResultCodec.of(hint)
    return codec.decode(codec.encode(value))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, 2**53 + 1),
        (int, 2**64 - 1),
        (int, -(2**63)),
        (float, 0.1),
        (str, "\x00 ünï \u2028"),
        (list, []),
        (dict, {}),
        (list[int], [1, 2]),
        (dict[str, Any], {"a": [None, {}]}),
        (dict[int, str], {1: "a", -2: "b"}),
        (dict[UUID, int], {SOME_UUID: 1}),
        (dict[date, list[Item]], {date(2026, 1, 2): [Item(1.5)]}),
        (dict[tuple[int, str], int], {(1, "a"): 2}),
        (dict[Colour, int], {Colour.RED: 1}),
        (set[int], {1, 2}),
        (frozenset[str], frozenset({"a"})),
        (tuple[int, str], (1, "a")),
        (tuple[()], ()),
        (tuple, (1, "a")),
        (deque[date], deque([date(2026, 1, 1)])),
        (Bare, Bare([1], (2,), {3}, ("a",))),
        (Branch, Branch((Branch((None, None)), None))),
        (tuple[Decimal, ...], (Decimal("1.10"), Decimal(2))),
        (Decimal, Decimal("0.10")),
        (UUID, SOME_UUID),
        (datetime, MOMENT),
        (datetime, datetime(2026, 1, 1)),
        (date, date(2026, 1, 1)),
        (time, time(1, 2, 3, tzinfo=UTC)),
        (timedelta, timedelta(days=400, microseconds=1)),
        (bytes, b"\x00\xff"),
        (bytes, b""),
        (Path, Path("/a/b")),
        (PurePosixPath, PurePosixPath("a/b")),
        (Colour, Colour.RED),
        (Level, Level.HIGH),
        (Shape, Shape.BOX),
        (Literal["a", 1], 1),
        (UserId, 7),
        (Order, Order([Item(1.0), Item(2.5, "y")], MOMENT)),
        (list[Order], [Order([])]),
        (Point, Point(1, 2)),
        (Node, Node(1, Node(2, Node(3)))),
        (Movie, {"title": "M", "seen": date(1931, 5, 11)}),
        (Pair, Pair(1, Decimal("2.0"))),
        (datetime | None, None),
        (int | datetime, MOMENT),
        (int | datetime, 5),
        (str | datetime, "2026-01-01T00:00:00"),
        (str | datetime, datetime(2026, 1, 1)),
        (date | datetime, date(2026, 1, 1)),
        (date | datetime, datetime(2026, 1, 1)),
        (str | bytes | Path, b"abc"),
        (str | bytes | Path, Path("abc")),
        (Circle | Square, Square(2.0)),
        (Circle | Square | None, Circle(2.0)),
        (list[Circle | Square], [Square(1.0), Circle(2.0)]),
        (Point | Movie | str, Point(1, 2)),
        (Point | dict[str, int], {"x": 1}),
        (Point | dict[str, int], Point(3, 4)),
        (list[Item] | tuple[int, ...], [Item(1.0)]),
        (int | float, 1.0),
        (bool | int, True),
        (Point | dict[str, int], {"x": 1, "y": 2}),
        (Point | dict, {"x": 1, "y": 2}),
        (list[datetime] | list[str], ["2026-01-01"]),
        (list[datetime] | list[str], [datetime(2026, 1, 1)]),
        (Colour | str, "red"),
        (Colour | str, Colour.RED),
    ],
    ids=repr,
)
def test_comes_back_the_same(hint: Any, value: Any) -> None:
    got = through(hint, value)
    assert got == value
    assert type(got) is type(value)


def test_a_subclass_without_fields_of_its_own_comes_back_as_what_is_annotated() -> None:
    assert through(Point, NamedPoint(1, 2)) == Point(1, 2)


def test_an_int_is_a_float_where_only_that_fits() -> None:
    assert through(float | Decimal, 1) == 1.0
    assert through(int | float, 1) == 1
    with pytest.raises(CodecError):
        through(float | Decimal, True)


def test_inner_types_come_back_too() -> None:
    order = through(Order, Order([Item(1)], MOMENT))
    assert type(order.items[0]) is Item
    assert type(order.placed) is datetime


@pytest.mark.parametrize(
    ("hint", "value", "path"),
    [
        (Any, math.nan, "result"),
        (Any, {"a": [1, math.inf]}, "result.a[1]"),
        (Order, Order([Item(1), Item(2), Item(math.nan)]), "result.items[2].price"),
        (Any, {"a": {"b": Ellipsis}}, "result.a.b"),
        (Any, [{"price": "\ud800"}], "result[0].price"),
        (Any, {"k\ud800": 1}, "result"),
        (Any, {"a": 2**64}, "result.a"),
        (Any, {"a": {1: 2}}, "result.a"),
        (Order, {"items": []}, "result"),
        (date, MOMENT, "result"),
        (UUID, "no uuid", "result"),
        (int | Circle, "neither", "result"),
        (Point, Point3(1, 2, 3), "result"),
        (list[Circle], [Circle(1.0), Ring(1.0, 0.5)], "result"),
    ],
    ids=repr,
)
def test_refuses_to_write(hint: Any, value: Any, path: str) -> None:
    with pytest.raises(CodecError) as caught:
        ResultCodec.of(hint).encode(value)
    assert caught.value.path == path
    assert caught.value.problem


@pytest.mark.parametrize(
    ("hint", "data", "path"),
    [
        (Order, b'{"items":[{"price":1},{"price":"abc"}]}', "result.items[1].price"),
        (Order, b'{"items":[{"price":1},{}]}', "result.items[1].price"),
        (Order, b'{"items":[{"price":true}]}', "result.items[0].price"),
        (Order, b"7", "result"),
        (Order, b'{"items":{}}', "result.items"),
        (dict[str, date], b'{"a":"no date"}', "result['a']"),
        (dict[str, list[date]], b'{"a":{}}', "result['a']"),
        (list[set[str]], b'["text"]', "result[0]"),
        (list[frozenset[str]], b'["text"]', "result[0]"),
        (list[tuple[str, ...]], b'["text"]', "result[0]"),
        (set[int], b'[1,"2"]', "result[1]"),
        (datetime, b'"soon"', "result"),
        (bytes, b'"no base64!"', "result"),
        (Colour, b'"green"', "result"),
        (tuple[int, str], b"[1]", "result"),
        (tuple[int, str], b'[1,"a","b"]', "result"),
        (tuple[int, str], b"[1,2]", "result[1]"),
        (tuple[str, str], b'"ab"', "result"),
        (tuple[str, str], b'{"a":1,"b":2}', "result"),
        (tuple[()], b'""', "result"),
        (list[tuple[str, str]], b'["ab"]', "result[0]"),
        (Twins, b'"ab"', "result"),
        (dict[str, tuple[Order, Pair]], b'{"x":[{"items":[]},["a","b","c"]]}', "result['x'][1]"),
        (Bare, b'{"a":"ab","b":[],"c":[],"d":[]}', "result.a"),
        (Bare, b'{"a":[],"b":"ab","c":[],"d":[]}', "result.b"),
        (Bare, b'{"a":[],"b":[],"c":"ab","d":[]}', "result.c"),
        (Bare, b'{"a":[],"b":[],"c":[],"d":{"x":1}}', "result.d"),
        (deque[str], b'"text"', "result"),
        (Circle | Square, b"[]", "result"),
        (int, b"{", "result"),
    ],
    ids=repr,
)
def test_refuses_to_read(hint: Any, data: bytes, path: str) -> None:
    with pytest.raises(CodecError) as caught:
        ResultCodec.of(hint).decode(data)
    assert caught.value.path == path
    assert caught.value.problem


def test_nesting_without_end_is_refused() -> None:
    deep: list[Any] = []
    deep.append(deep)
    with pytest.raises(CodecError, match="deep"):
        ResultCodec.of(Any).encode(deep)


def test_too_much_is_refused() -> None:
    assert ResultCodec.of(str).encode("a" * (MOST_BYTES - 2))
    with pytest.raises(CodecError, match="bytes of JSON"):
        ResultCodec.of(str).encode("a" * (MOST_BYTES - 1))


def test_without_annotation_json_decides() -> None:
    assert through(Any, (Item(1.5), {"s"}, MOMENT.date())) == [
        {"price": 1.5, "name": "x"},
        ["s"],
        "2026-03-01",
    ]


def test_untagged_json_finds_its_member() -> None:
    codec = ResultCodec.of(Point | Circle | str | datetime)
    assert codec.decode(b'{"radius":1}') == Circle(1.0)
    assert codec.decode(b'{"x":1,"y":2}') == Point(1, 2)
    assert codec.decode(b'"2026-01-01"') == "2026-01-01"


def test_pydantic_models() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Account(pydantic.BaseModel):
        id: UUID
        opened: date
        tags: frozenset[str] = frozenset()

    Account.model_rebuild()
    account = Account(id=SOME_UUID, opened=date(2026, 1, 1), tags=frozenset("a"))
    assert through(Account, account) == account
    assert through(list[Account], [account]) == [account]
    assert through(Account | Point, account) == account
    assert through(Any, account)["opened"] == "2026-01-01"

    class Savings(Account):
        rate: float

    with pytest.raises(CodecError, match="rate"):
        through(Account, Savings(id=SOME_UUID, opened=date(2026, 1, 1), rate=0.5))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def problem_of(hint: Any, value: Any) -> str:
    """Why a value cannot be written; '' when it came back the same."""
    codec = ResultCodec.of(hint)
    try:
        data = codec.encode(value)
    except CodecError as error:
        return error.problem
    assert codec.decode(data) == value
    return ""


def is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    return all(map(is_finite, value)) if isinstance(value, list) else True


@given(JSON)
def test_json_comes_back_or_is_refused(value: Any) -> None:
    assert ("JSON has no" in problem_of(Any, value)) is not is_finite(value)


@given(st.text(st.characters()))
def test_texts_come_back_or_are_refused(value: str) -> None:
    broken = any("\ud800" <= letter <= "\udfff" for letter in value)
    assert ("surrogates" in problem_of(str, value)) is broken


@given(st.binary())
def test_bytes_come_back(value: bytes) -> None:
    assert problem_of(bytes, value) == ""
