"""Texts of paths and query strings, and the values they come from."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NewType
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.asking import asking
from upnext import Api
from upnext.api.binding.text import reader_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Shape(Enum):
    ROUND = 1.5
    SQUARE = 2.5


OrderId = NewType("OrderId", int)

LONG = st.integers(-(2**63), 2**63 - 1)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1),
    int: LONG,
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    uuid.UUID: st.uuids(),
    date: st.dates(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    Colour: st.sampled_from(Colour),
    Size: st.sampled_from(Size),
    Shape: st.sampled_from(Shape),
    Literal["a", 3, True]: st.sampled_from(["a", 3, True]),
    OrderId: LONG,
    int | None: LONG,
    Annotated[int, "how many"]: LONG,
}


def text_of(value: Any) -> str:
    """How a client writes a value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, IntEnum):
        return str(value.value)
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str) else value.name
    return value.isoformat() if isinstance(value, date) else str(value)


@given(st.sampled_from(list(VALUES)).flatmap(lambda hint: VALUES[hint].map(lambda v: (hint, v))))
def test_a_value_comes_back_as_its_annotation_says(pair: tuple[Any, Any]) -> None:
    hint, value = pair
    read = reader_of(hint)
    back = text_of(value) if read is None else read(text_of(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("hint", "text", "words"),
    [
        (int, "1.5", "'1.5' is not an integer"),
        (int, "9223372036854775808", "9223372036854775808 is not within 64 bits"),
        (int, "-9223372036854775809", "-9223372036854775809 is not within 64 bits"),
        (OrderId, "1" * 400, "1" * 40 + " is not within 64 bits"),
        (int, "1_000", "'1_000' is not an integer"),
        (int, " 1", "' 1' is not an integer"),
        (int, "\u0661", "is not an integer"),
        (int, "", "'' is not an integer"),
        (int, "9" * 10_000, "is not an integer"),
        (float, "nan", "'nan' is not a number"),
        (float, "x", "'x' is not a number"),
        (bool, "maybe", "'maybe' is neither true nor false"),
        (uuid.UUID, "1", "'1' is not a UUID"),
        (datetime, "today", "'today' is not a datetime"),
        (Colour, "green", "'green' is none of red, blue"),
        (Literal["a", "b"], "c", "'c' is none of a, b"),
        (int | uuid.UUID, "x", "'x' is none of"),
        (timedelta, "soon", "'soon' is not a number"),
    ],
)
def test_a_text_that_does_not_fit_is_refused(hint: Any, text: str, words: str) -> None:
    read = reader_of(hint)
    assert read is not None
    with pytest.raises((ValueError, TypeError)) as caught:
        read(text)
    assert words in str(caught.value)


def test_a_union_takes_the_first_member_that_fits_and_a_string_last() -> None:
    read = reader_of(str | int)
    assert read is not None
    assert read("7") == 7
    assert read("x") == "x"


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, "grüße & co? +%2F"),
        (int, -7),
        (float, -1.5e-300),
        (bool, False),
        (uuid.UUID, uuid.UUID(int=5)),
        (datetime, datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
        (Decimal, Decimal("0.10")),
        (Colour, Colour.BLUE),
        (Size, Size.LARGE),
        (Shape, Shape.SQUARE),
        (OrderId, 3),
        (int | None, 4),
    ],
)
async def test_values_travel_in_the_path_and_the_query(hint: Any, value: Any) -> None:
    api, got = Api("values"), []

    async def handler(value: Any, other: Any, many: Any) -> None:
        got.append((value, other, many))

    handler.__annotations__ = {"value": hint, "other": hint, "many": list[hint]}
    api.get("/values/{value}")(handler)
    text = text_of(value)
    async with asking(api) as client:
        params = [("other", text), ("many", text), ("many", text)]
        answer = await client.get(f"/values/{quote(text, safe='')}", params=params)
    assert answer.status_code == 200, answer.text
    assert got == [(value, value, [value, value])]
