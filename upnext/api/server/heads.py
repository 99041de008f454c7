"""The head of an answer in HTTP/1.1: what an app said of it, and how long it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import time
from typing import NamedTuple
from wsgiref.handlers import format_date_time

CONTINUE = b"HTTP/1.1 100 \r\n\r\n"
MOST_DIGITS = 18
"""Of a content length."""
_MOST_NAMES = 1024
"""Names of headers that are remembered as valid; an app has a few dozens."""
_UNLIKE_A_VALUE = re.compile(rb"[\x00\n\v\f\r]").search
"""With a line break, the rest of a value would be headers or an answer of its own."""
_LIKE_A_NAME = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+").fullmatch
_STATUS_LINES = {status: b"HTTP/1.1 %d \r\n" % status for status in range(200, 1000)}
_BODILESS = frozenset((204, 304))


class BadAnswerError(Exception):
    """What an app answers cannot be sent; the text says why."""


class Head(NamedTuple):
    """The head of an answer, and what follows it."""

    data: bytes
    length: int | None
    """Bytes of the body; None: nobody knows yet."""
    chunked: bool
    """Whether the body is sent in chunks; else one of unknown length ends with the connection."""
    close: bool
    """Whether the connection must end with the answer."""
    bodiless: bool
    """Whether nothing follows, whatever the headers say of a length."""


def head_of(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    asked_head: bool = False,
    http11: bool = True,
    close: bool = False,
) -> Head:
    """Put a head together.

    Args:
        status: The answer's status, from 200 on.
        headers: What the app says; how the body is framed is decided here.
        asked_head: Whether the request is for the head alone.
        http11: Whether the client knows chunks.
        close: Whether the connection ends with the answer in any case.

    Raises:
        BadAnswerError: a status, a name or a value that no client would take for what it is.
    """
    try:
        parts = [_STATUS_LINES[status]]
    except KeyError:
        raise BadAnswerError(f"{status!r} is no status of an answer") from None
    length: int | None = None
    chunked = dated = False
    tokens: list[bytes] = []
    for name, value in headers:
        lower = _names.get(name) or _name(name)
        if _UNLIKE_A_VALUE(value) is not None:
            value = bytes(value).strip()
            if _UNLIKE_A_VALUE(value) is not None:
                raise BadAnswerError(f"the value of {lower.decode()} has a control character")
        if lower in _OURS:
            if lower == b"content-length":
                length = _length(value, length)
                continue
            if lower == b"transfer-encoding":
                if value.strip().lower() != b"chunked":
                    raise BadAnswerError("no transfer-encoding but chunked can be sent")
                chunked = True
                continue
            if lower == b"connection":
                tokens += [token.strip() for token in value.lower().split(b",")]
                continue
            dated = True
        parts += (lower, b": ", value, b"\r\n")
    bodiless = asked_head or status in _BODILESS
    close = close or b"close" in tokens
    if length is not None and not chunked:
        parts.append(b"content-length: %d\r\n" % length)
    elif status in _BODILESS:
        chunked = False
    else:
        length, chunked = None, http11
        if http11:
            parts.append(b"transfer-encoding: chunked\r\n")
        elif not asked_head:
            close = True
    if close or tokens:
        kept = [token for token in tokens if token not in _LIVES]
        if close:
            kept.append(b"close")
        elif b"keep-alive" in tokens:
            kept.append(b"keep-alive")
        parts.append(b"connection: %b\r\n" % b", ".join(kept))
    if not dated:
        parts.append(_clock.line if _clock.second == int(time()) else _clock.turn())
    parts.append(b"\r\n")
    return Head(
        b"".join(parts), 0 if bodiless else length, chunked and not bodiless, close, bodiless
    )


_OURS = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date"))
_LIVES = frozenset((b"close", b"keep-alive", b""))
_names: dict[bytes, bytes] = {}


def _name(name: bytes) -> bytes:
    lower = bytes(name).strip().lower()
    if _LIKE_A_NAME(lower) is None:
        raise BadAnswerError(f"{name!r} is no name of a header")
    if len(_names) < _MOST_NAMES:
        _names[bytes(name)] = lower
    return lower


def _length(value: bytes, before: int | None) -> int:
    value = value.strip()
    if not value.isdigit() or len(value) > MOST_DIGITS:
        raise BadAnswerError(f"{value!r} is no content-length")
    length = int(value)
    if before not in (None, length):
        raise BadAnswerError("two lengths of one answer")
    return length


class _Clock:
    """The date header of this second."""

    def __init__(self) -> None:
        self.second, self.line = 0, b""

    def turn(self) -> bytes:
        now = time()
        self.second, self.line = int(now), f"date: {format_date_time(now)}\r\n".encode()
        return self.line


_clock = _Clock()
