"""Which requests are read as a whole before their handler is called."""

from __future__ import annotations

import pytest

from upnext.api.web.http import SHORT, is_short


@pytest.mark.parametrize(
    ("headers", "short"),
    [
        ([], True),
        ([(b"content-length", b"0")], True),
        ([(b"content-length", str(SHORT).encode())], True),
        ([(b"content-length", str(SHORT + 1).encode())], False),
        ([(b"content-length", b"9" * 5_000)], False),
        ([(b"content-length", b"nonsense")], True),
        ([(b"transfer-encoding", b"chunked")], False),
        ([(b"content-length", b"2"), (b"transfer-encoding", b"chunked")], False),
    ],
)
def test_a_request_is_short_by_what_its_headers_say(
    headers: list[tuple[bytes, bytes]], short: bool
) -> None:
    assert is_short({"headers": [(b"host", b"x"), *headers]}) is short
