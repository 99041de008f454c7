from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from upnext.redis.link import Link
from upnext.redis.url import Address

MakeLink = Callable[..., Link]


@pytest.fixture
async def make_link(anyio_backend: str) -> AsyncIterator[MakeLink]:
    """Make links that are closed at the end: ``make_link(url, timeout=1)``."""
    async with AsyncExitStack() as links:

        def make(url: str, **options: Any) -> Link:
            link = Link(Address.parse(url), **options)
            links.push_async_callback(link.aclose)
            return link

        yield make
