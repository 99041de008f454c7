"""The head of an answer: how it is framed, and what no app can make of it."""

from __future__ import annotations

from typing import Any

import pytest

from upnext.api.server.heads import BadAnswerError, Head, head_of


def lines(head: Head) -> list[bytes]:
    """The head's lines, but the date."""
    assert head.data.endswith(b"\r\n\r\n")
    return [line for line in head.data[:-4].split(b"\r\n") if not line.startswith(b"date: ")]


def test_a_known_length_is_kept() -> None:
    head = head_of(200, [(b"Content-Type", b"text/plain"), (b"Content-Length", b"5")])
    assert lines(head) == [b"HTTP/1.1 200 ", b"content-type: text/plain", b"content-length: 5"]
    assert head[1:] == (5, False, False, False)
    assert head.data.count(b"\r\ndate: ") == 1


@pytest.mark.parametrize(
    ("options", "expected", "framing"),
    [
        ({}, [b"transfer-encoding: chunked"], (None, True, False, False)),
        ({"http11": False}, [b"connection: close"], (None, False, True, False)),
        ({"close": True}, [b"transfer-encoding: chunked", b"connection: close"],
         (None, True, True, False)),
        ({"asked_head": True}, [b"transfer-encoding: chunked"], (0, False, False, True)),
        ({"asked_head": True, "http11": False}, [], (0, False, False, True)),
        ({"status": 204}, [], (0, False, False, True)),
        ({"status": 304}, [], (0, False, False, True)),
        ({"headers": [(b"connection", b"x, close")]},
         [b"transfer-encoding: chunked", b"connection: x, close"], (None, True, True, False)),
        ({"headers": [(b"connection", b"keep-alive")], "close": True},
         [b"transfer-encoding: chunked", b"connection: close"], (None, True, True, False)),
        ({"headers": [(b"content-length", b"5"), (b"transfer-encoding", b"Chunked")]},
         [b"transfer-encoding: chunked"], (None, True, False, False)),
        ({"headers": [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
          "http11": False}, [b"connection: close"], (None, False, True, False)),
        ({"headers": [(b"content-length", b"5"), (b"content-length", b"5")]},
         [b"content-length: 5"], (5, False, False, False)),
        ({"headers": [(b"content-length", b"5")], "asked_head": True},
         [b"content-length: 5"], (0, False, False, True)),
    ],
)  # fmt: skip
def test_what_follows_is_framed(
    options: dict[str, Any], expected: list[bytes], framing: tuple[Any, ...]
) -> None:
    head = head_of(**{"status": 200, "headers": [], **options})
    assert lines(head)[1:] == expected
    assert head[1:] == framing


def test_an_apps_own_date_is_the_only_one() -> None:
    head = head_of(204, [(b"date", b"today")])
    assert head.data == b"HTTP/1.1 204 \r\ndate: today\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-a", b"b\r\nset-cookie: evil"),
        (b"x-a", b"b\nc"),
        (b"x-a", b"b\rc"),
        (b"x-a", b"b\x00c"),
        (b"x-a\r\nset-cookie", b"evil"),
        (b"x-a: b", b"c"),
        (b"transfer-encoding:chunked", b"c"),
        (b"content length", b"1"),
        (b"", b"c"),
        (b":status", b"200"),
        (b"x\xe9", b"c"),
        (b"content-length", b"-1"),
        (b"content-length", b"+1"),
        (b"content-length", b"1, 1"),
        (b"content-length", b""),
        (b"content-length", b"9" * 19),
        (b"transfer-encoding", b"gzip, chunked"),
    ],
)
def test_a_header_that_clients_could_take_for_something_else_is_refused(
    header: tuple[bytes, bytes],
) -> None:
    for _ in range(2):  # nothing of it is remembered as valid
        with pytest.raises(BadAnswerError):
            head_of(200, [header])


def test_two_lengths_are_refused() -> None:
    with pytest.raises(BadAnswerError, match="two lengths"):
        head_of(200, [(b"content-length", b"1"), (b"content-length", b"2")])


@pytest.mark.parametrize("status", [99, 100, 101, 199, 1000, "200", None])
def test_what_is_no_status_is_refused(status: Any) -> None:
    with pytest.raises(BadAnswerError):
        head_of(status, [])


def test_blanks_and_breaks_around_a_value_are_dropped() -> None:
    assert b"\r\nx-a: b\r\n" in head_of(200, [(b" x-a ", b"b\r\n")]).data
