"""Frontends that build without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

BUILD = "node -e \"fs.mkdirSync('dist'); fs.writeFileSync('dist/index.html', 'built')\""


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Make a project: `project("web", build="…", dev="…")`."""

    def make(name: str = "web", **scripts: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        manifest = {"name": name, "version": "1.0.0", "scripts": {"build": BUILD, **scripts}}
        lock = {"name": name, "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {}}}
        (folder / "package.json").write_text(json.dumps(manifest))
        (folder / "package-lock.json").write_text(json.dumps(lock))
        return folder

    return make
