"""`key=value` and `--json`."""

from __future__ import annotations

from typing import Any

import pytest

from upnext.cli.arguments import check_fit, read_arguments
from upnext.cli.explain import USAGE, CommandError


def test_a_value_that_is_json_is_that_value() -> None:
    words = ["a=1", "b=-2.5", 'c={"d": [null]}', "e=true", 'f="7"', "g=", "big=9007199254740993"]

    assert read_arguments(words, None) == {
        "a": 1,
        "b": -2.5,
        "c": {"d": [None]},
        "e": True,
        "f": "7",
        "g": "",
        "big": 9007199254740993,
    }


def test_any_other_value_is_a_text() -> None:
    words = ["a=ada@example.com", "b=x=y", "c=2026-01-01", "d=NaN", "e={oops"]

    assert read_arguments(words, None) == {
        "a": "ada@example.com",
        "b": "x=y",
        "c": "2026-01-01",
        "d": "NaN",
        "e": "{oops",
    }


def test_a_word_wins_over_the_object() -> None:
    assert read_arguments(["a=2"], '{"a": 1, "b": 3}') == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("words", "json_object", "line"),
    [
        (["ada"], None, "The argument 'ada' is not of the form key=value."),
        (["=1"], None, "The argument '=1' is not of the form key=value."),
        (["a=1", "a=2"], None, "The argument 'a' is given twice."),
        ([], "{oops", "--json is not JSON: "),
        ([], '{"a": NaN}', "--json is not JSON: NaN is not a JSON value."),
        ([], "[" * 100_000, "--json is not JSON: "),
        ([], "[1]", "--json must be one object, such as '{\"a\": 1}'."),
    ],
)
def test_what_cannot_be_read(words: list[str], json_object: str | None, line: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_arguments(words, json_object)

    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert caught.value.code == USAGE


def takes(a: int, /, b: str, *rest: int, c: bool = False) -> None: ...


def takes_any(a: int, **more: Any) -> None: ...


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"a": 1}, "needs b"),
        ({}, "needs a, b"),
        ({"a": 1, "b": "x", "z": 1, "d": 2}, "has no parameter d, z"),
    ],
)
def test_arguments_that_do_not_fit(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(CommandError, match=f"The task send {problem}: it is declared as send\\(a:"):
        check_fit("send", takes, given)


def test_arguments_that_fit() -> None:
    check_fit("send", takes, {"a": 1, "b": "x"})
    check_fit("send", takes, {"a": 1, "b": "x", "c": True, "*rest": [1, 2]})
    check_fit("send", takes_any, {"a": 1, "whatever": 2})
