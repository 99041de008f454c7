"""What others wrote reaches no terminal and no log unescaped."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.cli.visible import one_line, visible, within_json

ANY_TEXT = st.text(st.characters(codec=None))  # surrogates included


def is_hidden(character: str) -> bool:
    bidirectional = unicodedata.bidirectional(character)
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or (
        bidirectional in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or character in "\u200e\u200f\u061c"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße, 世界 🎉 [bold]", "grüße, 世界 🎉 [bold]"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b2J", r"\x9b2J"),
        ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
        ("abc\u202ecba", r"abc\u202ecba"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("\x00\x7f", r"\x00\x7f"),
    ],
)
def test_one_line_escapes_what_cannot_be_seen(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_visible_keeps_the_layout() -> None:
    assert visible("a\n\tb\x1b\r\n") == "a\n\tb\\x1b\\r\n"


@given(ANY_TEXT)
def test_nothing_hidden_is_left(text: str) -> None:
    assert not any(is_hidden(character) for character in one_line(text))
    assert not any(is_hidden(c) for c in visible(text) if c not in "\n\t")


@given(ANY_TEXT)
def test_escaped_json_means_the_same(text: str) -> None:
    document = json.dumps({"text": text}, ensure_ascii=False)

    escaped = within_json(document)

    assert json.loads(escaped) == json.loads(document)
    assert not any(is_hidden(character) for character in escaped)
    escaped.encode()
