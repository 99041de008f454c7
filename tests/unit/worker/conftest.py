"""The worker's tests run in virtual time; those with threads or processes say otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.virtual import virtual_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)
