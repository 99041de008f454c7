"""Workers in virtual time, and no way to a server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.virtual import virtual_backend
from upnext import Worker


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks a server after all gets an error at once."""
    monkeypatch.setenv("UPNEXT_REDIS_URL", "redis://127.0.0.1:1")


@pytest.fixture
def worker() -> Worker:
    return Worker("test", redis_url="redis://127.0.0.1:1")
