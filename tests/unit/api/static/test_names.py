"""Which URL paths name files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.api.static.names import falls_back, is_hidden, names_in

PIECES = st.sampled_from(
    ["..", ".", "", "/", "\\", "%2f", "%2F", "%5c", "%2e", "\0", "C:", "c:\\", "a", "b.js", ".env",
     ".well-known", "~", " ", "é", "\ud800", "\n", "::$DATA", "con", "%00", "%", "//", "…"]
)  # fmt: skip
PATHS = st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map("/".join))


@given(PATHS)
def test_names_never_lead_anywhere_else(path: str) -> None:
    names = names_in(path)
    if names is None:
        return
    for name in names:
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\\0")
        assert not (name[1:2] == ":" and name[0].isascii() and name[0].isalpha())
    assert not is_hidden(names)
    assert "/".join(names) == path.removesuffix("/")


@pytest.mark.parametrize(
    "path",
    ["..", "../x", "a/../b", "./a", "a/.", "/etc/passwd", "a//b", "\\x", "a\\..\\b", "C:/x", "c:x",
     "a/C:", "%2e%2e/x", "..%2fx", "a%5cb", "a%00", "a\0", ".env", ".git/config", "a/.b",
     "a/.well-known/x", "a\n", "\x7f", "a//"],
)  # fmt: skip
def test_refused(path: str) -> None:
    assert names_in(path) is None


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a/b.js", ("a", "b.js")),
        ("a/", ("a",)),
        ("...a/x", None),
        ("a..b/c...", ("a..b", "c...")),
        (".well-known/acme-challenge/x", (".well-known", "acme-challenge", "x")),
        (".well-known/.x", None),
        ("100%/urn:isbn:1", ("100%", "urn:isbn:1")),
        ("größe/日本", ("größe", "日本")),
    ],
)
def test_read(path: str, names: tuple[str, ...] | None) -> None:
    assert names_in(path) == names


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "accept", "expected"),
    [
        ("dashboard", BROWSER, True),
        ("dashboard", "*/*", True),
        ("dashboard", None, True),
        ("dashboard", "text/*", True),
        ("dashboard", "application/json", False),
        ("dashboard", "text/html;q=0", False),
        ("dashboard", "text/html;q=0, */*", False),
        ("users/jane.doe", BROWSER, True),
        ("assets/app.js", "*/*", False),
        ("assets/app.js", None, False),
        ("style.css", "text/css,*/*;q=0.1", False),
        ("logo.png", "image/avif,image/webp,*/*;q=0.8", False),
        ("v1.2/notes", "*/*", True),
        ("", None, True),
    ],
)
def test_who_gets_the_page_of_an_application(path: str, accept: str | None, expected: bool) -> None:
    assert falls_back(path, accept) is expected
