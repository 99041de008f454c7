"""A built frontend on disk, and something beside it that must not be seen."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from upnext.api.static import StaticMounts

SECRET = b"the secret beside the root"
PAGE = b"<!doctype html><title>app</title>"
SCRIPT = b"console.log('hello');\n" * 50


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """`dist/` with the files of a small application."""
    root = tmp_path / "web" / "dist"
    (root / "assets").mkdir(parents=True)
    (root / "docs").mkdir()
    (root / "empty").mkdir()
    (root / ".git").mkdir()
    (root / ".well-known").mkdir()
    (root / "index.html").write_bytes(PAGE)
    (root / "docs" / "index.html").write_bytes(b"docs")
    (root / "assets" / "app.js").write_bytes(SCRIPT)
    (root / "assets" / "app.js.gz").write_bytes(gzip.compress(SCRIPT))
    (root / "assets" / "app.js.br").write_bytes(b"brotli, as far as anyone here knows")
    (root / "assets" / "index-BQ3xPk9a.js").write_bytes(b"hashed")
    (root / "film.mp4").write_bytes(bytes(range(256)) * 1000)
    (root / "nothing.txt").write_bytes(b"")
    (root / ".env").write_bytes(SECRET)
    (root / ".git" / "config").write_bytes(SECRET)
    (root / ".well-known" / "security.txt").write_bytes(b"mail us")
    (tmp_path / "web" / "package.json").write_bytes(SECRET)
    (tmp_path / "web" / "dist-old").mkdir()
    (tmp_path / "web" / "dist-old" / "index.html").write_bytes(SECRET)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    return root


@pytest.fixture
def mounts(site: Path) -> StaticMounts:
    """The application at '/'."""
    mounts = StaticMounts()
    mounts.add("/", directory=site.parent, output="dist")
    return mounts
