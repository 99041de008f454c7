"""Messages arrive whole, however the socket cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.supervision.messages import LONGEST, Lines, encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
MESSAGES = st.lists(st.tuples(TEXTS, st.dictionaries(TEXTS, TEXTS | st.integers() | st.none())))


@given(MESSAGES, st.lists(st.integers(1, 20), min_size=1))
def test_messages_survive_any_cut(
    messages: list[tuple[str, dict[str, object]]], cuts: list[int]
) -> None:
    data = b"".join(encode(kind, facts=facts) for kind, facts in messages)
    lines, read, turn = Lines(), [], 0
    while data:
        size = cuts[turn % len(cuts)]
        read += lines.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert [(message["kind"], message["facts"]) for message in read] == messages


@pytest.mark.parametrize("data", [b"[1]\n", b"{}\n", b"\xff\n", b"{\n", b"x" * (LONGEST + 1)])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        Lines().feed(data)
