"""Names and patterns of events."""

from __future__ import annotations

import time

import pytest

from upnext.model.identity import (
    function_tag,
    handler_job_id,
    is_event_id,
    new_event_id,
    tag_of,
)
from upnext.model.pattern import LONGEST_NAME, Pattern, event_name


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("order.paid", ["order.paid"], ["order", "order.paid.late", "order.Paid", "xorder.paid"]),
        ("order.*", ["order.paid", "order.ö"], ["order", "order.item.added", "orders.paid"]),
        ("order.**", ["order.paid", "order.item.added"], ["order", "mail.order.paid"]),
        ("*.failed", ["mail.failed"], ["failed", "a.b.failed", "mail.failed.twice"]),
        ("**.failed", ["mail.failed", "a.b.failed"], ["failed", "failed.a"]),
        ("**", ["a", "a.b.c"], []),
        ("*", ["a"], ["a.b"]),
        ("a.**.b.*", ["a.x.b.c", "a.b.b.c", "a.b.b.b", "a.x.b.c.b.d"], ["a.b.c", "a.x.b"]),
        ("**.**", ["a.b", "a.b.c"], ["a"]),
    ],
)
def test_what_a_pattern_means(pattern: str, matching: list[str], others: list[str]) -> None:
    parsed = Pattern.parse(pattern)
    assert [name for name in matching if not parsed.matches(name)] == []
    assert [name for name in others if parsed.matches(name)] == []


def test_white_space_around_it_does_not_count() -> None:
    assert Pattern.parse("  order.* ") == Pattern.parse("order.*")
    assert event_name(" order.paid\n") == "order.paid"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must not be empty"),
        ("   ", "must not be empty"),
        (".paid", "nothing between two dots"),
        ("order..paid", "nothing between two dots"),
        ("order.", "nothing between two dots"),
        ("order.pa*", "stands for whole segments"),
        ("***", "stands for whole segments"),
        ("order paid", "no white space"),
        ("order\x00paid", "no white space"),
        ("x" * (LONGEST_NAME + 1), "at most 200"),
    ],
)
def test_what_is_no_pattern_is_told_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as told:
        Pattern.parse(text)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("value", [None, 5, b"order.paid"])
def test_a_name_is_a_text(value: object) -> None:
    with pytest.raises(ValueError, match="must be a text"):
        Pattern.parse(value)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["order.*", "**"])
def test_a_pattern_with_wildcards_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="many events match"):
        event_name(text)


def test_no_pattern_takes_long() -> None:
    pattern = Pattern.parse(".".join(["**", "a"] * 24) + ".**")
    began = time.perf_counter()
    for _ in range(100):
        assert not pattern.matches(".".join(["a"] * 20 + ["b"] * 79))
    assert time.perf_counter() - began < 1


def test_an_event_and_its_handlers_jobs_share_a_number() -> None:
    event_id = new_event_id()
    assert is_event_id(event_id)
    assert not is_event_id(event_id + "0")
    tag = function_tag("send mail!")
    job_id = handler_job_id(tag, event_id)
    assert tag_of(job_id) == tag
    assert job_id == handler_job_id(tag, event_id)
    assert job_id.endswith(event_id[4:])
