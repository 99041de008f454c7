"""The matching of patterns, against what the words say, in the plainest form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upnext.model.pattern import Pattern

SEGMENTS = st.sampled_from(["a", "b", "ab"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=8)
PATTERNS = st.lists(st.one_of(SEGMENTS, st.sampled_from(["*", "**"])), min_size=1, max_size=8)


def naive(pattern: list[str], name: list[str]) -> bool:
    """`*` is one segment, `**` is one or more; every way of sharing them out is tried."""
    if not pattern or not name:
        return not pattern and not name
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return any(naive(rest, name[taken:]) for taken in range(1, len(name) + 1))
    return first in ("*", name[0]) and naive(rest, name[1:])


@given(PATTERNS, NAMES)
def test_it_matches_what_the_words_say(pattern: list[str], name: list[str]) -> None:
    found = Pattern.parse(".".join(pattern)).matches(".".join(name))
    assert found == naive(pattern, name)


@given(NAMES)
def test_a_name_matches_itself(name: list[str]) -> None:
    assert Pattern.parse(".".join(name)).matches(".".join(name))


@given(st.text(max_size=12))
def test_any_text_is_a_pattern_or_is_refused_in_one_line(text: str) -> None:
    try:
        pattern = Pattern.parse(text)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
        assert pattern.text == text.strip()
        assert pattern.matches(pattern.text.replace("*", "x"))
    assert "\n" not in refused
