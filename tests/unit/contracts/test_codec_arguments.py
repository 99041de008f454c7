"""Arguments are bound as Python binds them, and arrive as they were given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.contracts.codec import ArgumentsCodec
from upnext.errors import CodecError

T = TypeVar("T")

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


@attrs.frozen
class Item:
    price: float


@dataclass
class Place:
    street: str
    number: int = 1
    known: bool = field(default=False, init=False)


@attrs.frozen
class Pair(Generic[T]):
    left: T
    right: T


def plain(a, b=2, *, c=3): ...
def named(*, a, b=1): ...
def positional(a, b=2, /, c=3): ...
def starred(a, b=2, *rest: date, c=3, **others: Item): ...
def only_rest(*rest): ...
def shadow(a, /, **others): ...
def nothing(): ...
def typed(item: Item, day: date | None = None): ...
def unresolvable(a: Unknown, b: date): ...


FUNCTIONS: list[Callable[..., Any]] = [plain, named, positional, only_rest, shadow, nothing]


def through(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What the function is called with in the end, as `inspect` sees it."""
    codec = ArgumentsCodec.of(function)
    args, kwargs = codec.decode(codec.encode(args, kwargs))
    bound = inspect.signature(function).bind(*args, **kwargs)
    return dict(bound.arguments)


@given(
    st.sampled_from(FUNCTIONS),
    st.lists(st.integers(0, 9), max_size=4),
    st.dictionaries(st.sampled_from("abcdz"), st.integers(0, 9), max_size=4),
)
def test_calls_like_python(
    function: Callable[..., Any], args: list[int], kwargs: dict[str, int]
) -> None:
    problem = ""
    try:
        expected = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError as error:
        problem = f"{function.__name__}(): {error}"
    if problem:
        with pytest.raises(TypeError) as caught:
            ArgumentsCodec.of(function).encode(tuple(args), dict(kwargs))
        assert str(caught.value) == problem
    else:
        assert through(function, *args, **kwargs) == expected


def test_stars_keep_their_types() -> None:
    day = date(2026, 1, 1)
    got = through(starred, 1, 2, day, day, c=4, z=Item(1.5))
    assert got == {"a": 1, "b": 2, "rest": (day, day), "c": 4, "others": {"z": Item(1.5)}}


def test_only_what_was_given_is_stored() -> None:
    codec = ArgumentsCodec.of(starred)
    assert orjson.loads(codec.encode((1,), {})) == {"a": 1}
    stored = codec.encode((1, 2, date(2026, 1, 1)), {"z": Item(1)})
    assert orjson.loads(stored) == {
        "a": 1,
        "b": 2,
        "*rest": ["2026-01-01"],
        "**others": {"z": {"price": 1}},
    }
    assert ArgumentsCodec.of(nothing).encode((), {}) == b"{}"


def test_the_callers_arguments_stay_as_they_are() -> None:
    given_items = {"item": Item(1.0)}
    codec = ArgumentsCodec.of(typed)
    codec.encode((), given_items)
    codec.encode((Item(1.0),), kwargs := {"day": date(2026, 1, 1)})
    assert given_items == {"item": Item(1.0)}
    assert kwargs == {"day": date(2026, 1, 1)}


def test_errors_name_the_field() -> None:
    codec = ArgumentsCodec.of(typed)
    with pytest.raises(CodecError) as caught:
        codec.encode((Item(float("nan")),), {})
    assert caught.value.path == "item.price"
    with pytest.raises(CodecError) as caught:
        codec.decode(b'{"item":{"price":"x"}}')
    assert caught.value.path == "item.price"
    with pytest.raises(CodecError) as caught:
        codec.decode(b"[1]")
    assert caught.value.path == "arguments"
    with pytest.raises(CodecError) as caught:
        ArgumentsCodec.of(plain).encode(([1, {"deep": object()}],), {})
    assert caught.value.path == "a[1].deep"


@pytest.mark.parametrize("value", [5, "ada", None, [1, 2]])
def test_what_is_no_object_is_told_what_was_expected(value: Any) -> None:
    def buy(item: Item, places: list[Place], pair: Pair[int]) -> None: ...

    codec = ArgumentsCodec.of(buy, {"item": Item, "places": list[Place], "pair": Pair[int]})
    for arguments, path, expected in (
        ({"item": value}, "item", "Item (price)"),
        ({"places": [{"street": "a"}, value]}, "places[1]", "Place (street, number)"),
        ({"pair": value}, "pair", "Pair (left, right)"),
    ):
        with pytest.raises(CodecError) as caught:
            codec.decode(orjson.dumps(arguments))
        problem = f"{value!r} is not an object with the fields of {expected}"
        assert (caught.value.path, caught.value.problem) == (path, problem)


def test_an_annotation_nobody_can_resolve_counts_as_any() -> None:
    day = date(2026, 1, 1)
    assert through(unresolvable, [1], day) == {"a": [1], "b": day}


def test_local_classes_are_found_where_the_function_uses_them() -> None:
    @attrs.frozen
    class Local:
        day: date

    def function(local: Local):
        return Local

    assert through(function, Local(date(2026, 1, 1))) == {"local": Local(date(2026, 1, 1))}


def test_partials_methods_and_callable_objects() -> None:
    class Greeter:
        def __call__(self, day: date): ...
        def method(self, day: date): ...

    day = date(2026, 1, 1)
    assert through(functools.partial(typed, Item(1.0)), day=day) == {"day": day}
    assert through(Greeter(), day) == {"day": day}
    assert through(Greeter().method, day) == {"day": day}
