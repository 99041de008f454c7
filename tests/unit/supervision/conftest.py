"""The supervisor's tests run in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.virtual import virtual_backend


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)
