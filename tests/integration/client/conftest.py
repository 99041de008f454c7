"""A job to make artifacts in, and a server for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.artifact_server import ArtifactServer, artifact_server
from upnext import Context
from upnext.client import artifact_upload, artifacts
from upnext.tasks.context import current_context


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ArtifactServer]]:
    """A server that UPNEXT_URL names; retries come at once."""
    monkeypatch.setattr(artifact_upload, "FIRST_DELAY", 0.001)
    with contextlib.ExitStack() as stack:

        def begin(*script: Any) -> ArtifactServer:
            server = stack.enter_context(artifact_server(*script))
            monkeypatch.setenv("UPNEXT_URL", server.url)
            return server

        yield begin


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The test is a job in an empty directory, with no settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("UPNEXT_URL", "UPNEXT_API_KEY", "UPNEXT_ARTIFACT_DIR"):
        monkeypatch.delenv(name, raising=False)
    artifacts._say_where.cache_clear()  # pyright: ignore[reportPrivateUsage]
    token = current_context.set(Context(job_id="make-1", attempt=2))
    yield
    current_context.reset(token)
