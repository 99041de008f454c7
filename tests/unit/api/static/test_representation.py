"""Types and lifetimes by name."""

from __future__ import annotations

import pytest

from upnext.api.static.representation import cache_control, content_type


@pytest.mark.parametrize(
    "name",
    [
        "index-BQ3xPk9a.js",  # Vite
        "index-B-3x_k9a.css",
        "main.8f3a2b1c9d0e1f2a.js",  # webpack
        "123.abcdef12.chunk.js",
        "app-5QJ2RYQN.js",  # esbuild
        "8f3a2b1c.png",
        "main.8f3a2b1c.js.map",
        "_app/immutable/entry/start.js",
        "_next/static/chunks/main.js",
    ],
)
def test_hashed_names_are_kept_for_ever(name: str) -> None:
    assert cache_control(tuple(name.split("/"))) == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "index-BQ3xPk9a.html",
        "_next/static/page.html",
        "app.js",
        "jquery-migration.js",
        "report-20240115.csv",
        "print-a4landscape.css",
        "bootstrap-5minutes.js",
        "dropdown-Selector.js",
        "defaced.js",
        "app-deadbeef.js",
        "README-INTERNAL.md",
        "v2.10.0.js",
        "x/_app/immutable.js",
    ],
)
def test_all_others_are_asked_about(name: str) -> None:
    assert cache_control(tuple(name.split("/"))) == "no-cache"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.js.map", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.svg", "image/svg+xml"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.js.gz", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
        ("http:x.js", "text/javascript; charset=utf-8"),
    ],
)
def test_types(name: str, kind: str) -> None:
    assert content_type(name) == kind
