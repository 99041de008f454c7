"""Keys made of arguments."""

from __future__ import annotations

from collections import UserDict
from datetime import date
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.model.template import LONGEST_KEY, KeyTemplate, fit_key


class Plan(Enum):
    FREE = "free"


class Price:
    def __str__(self) -> str:
        return "12 EUR"


def render(text: str, **arguments: object) -> str:
    return KeyTemplate.parse(text, "key").render(arguments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", "all"),
        ("{n}", "7"),
        ("user {n}", "user 7"),
        ("{n}/{word}", "7/two words"),
        ("{user.id}:{user.plan}", "u1:free"),
        ("{user.tags[0]}-{user.tags[-1]}", "a-c"),
        ("{table.row.cell}", "x"),
        ("{table[row][cell]}", "x"),
        ("{table[7]}", "seven"),
        ("{{{n}}}", "{7}"),
        ("{{}}", "{}"),
        ("{nothing}:{flag}", "None:True"),
        ("{day} {uuid} {amount} {price}", "2026-01-31 " + "0" * 8 + "-0000" * 3 + "-"
         + "0" * 12 + " 1.50 12 EUR"),
    ],
)  # fmt: skip
def test_fields_are_filled_in(text: str, expected: str) -> None:
    values = {
        "n": 7,
        "word": "two words",
        "user": SimpleNamespace(id="u1", plan=Plan.FREE, tags=("a", "b", "c")),
        "table": UserDict({"row": {"cell": "x"}, "7": "seven"}),
        "nothing": None,
        "flag": True,
        "day": date(2026, 1, 31),
        "uuid": UUID(int=0),
        "amount": Decimal("1.50"),
        "price": Price(),
    }
    assert render(text, **values) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not empty"),
        ("  ", "not empty"),
        (None, "not empty"),
        ("{", "not closed"),
        ("a}", "not closed"),
        ("{user", "not closed"),
        ("{}", "must name an argument"),
        ("{user.}", "must name an argument"),
        ("{0}", "must name an argument"),
        ("{user!r}", "must name an argument"),
        ("{user:>10}", "must name an argument"),
        ("{user[]}", "must name an argument"),
        ("{a}{b}", "put something between {a} and {b}"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="cache_key") as refused:
        KeyTemplate.parse(text, "cache_key")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_names_are_checked_against_a_function() -> None:
    template = KeyTemplate.parse("{user.id} {day} {{no}}", "cache_key")
    assert template.names == {"user", "day"}
    assert template.check(["day", "user", "more"], "report") is template
    with pytest.raises(ValueError, match="report has no parameter user; it has day, who"):
        template.check(["day", "who"], "report")
    with pytest.raises(ValueError, match="has no parameter day, user; it takes no arguments"):
        template.check([], "report")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{x.id}", "has no attribute 'id'"),
        ("{x[0]}", "has no item 0"),
        ("{xs[9]}", "out of range"),
        ("{row[key]}", "there is no 'key'"),
        ("{xs}", "a value of type list cannot be part of a key"),
        ("{row}", "a value of type dict cannot be part of a key"),
        ("{thing}", "a value of type object cannot be part of a key"),
    ],
)
def test_what_cannot_be_in_a_key_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="unique_key") as refused:
        KeyTemplate.parse(text, "unique_key").render(
            {"x": 1, "xs": [1], "row": {"a": 1}, "thing": object()}
        )
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


values = st.text(st.sampled_from("ab:/%23A é"), max_size=6)


@given(first=st.tuples(values, values, values), second=st.tuples(values, values, values))
def test_two_calls_have_one_key_only_if_they_are_equal(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    for text in ("{a}:{b}/{c}", "a{a}aa{b}%{c}", "{a}%3{b}:{c}:"):
        template = KeyTemplate.parse(text, "key")
        one, other = (
            template.render(dict(zip("abc", each, strict=True))) for each in (first, second)
        )
        assert (one == other) == (first == second)


@given(st.text())
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        template = KeyTemplate.parse(text, "key")
    except ValueError:
        return
    assert template.render(dict.fromkeys(template.names, 1))


@given(st.text(min_size=1).filter(str.strip))
def test_doubled_braces_are_the_text_itself(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert KeyTemplate.parse(doubled, "key").render({}) == fit_key(text)


@given(st.text(max_size=600), st.text(max_size=600))
def test_a_long_key_is_cut_and_stays_apart_from_others(one: str, other: str) -> None:
    assert len(fit_key(one)) <= LONGEST_KEY
    assert (fit_key(one) == fit_key(other)) == (one == other)
    if len(one) <= LONGEST_KEY:
        assert fit_key(one) == one


def test_a_key_of_any_text_can_be_sent() -> None:
    assert len(render("{x}", x="\udc80" * 300)) == LONGEST_KEY
