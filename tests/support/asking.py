"""Asking an API without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from upnext import Api
from upnext.api.ports import Wrap
from upnext.api.runtime import Runtime


@asynccontextmanager
async def asking(
    api: Api, *outer: Wrap, runtime: Runtime | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API's whole ASGI app."""
    transport = httpx.ASGITransport(app=api.asgi(*outer, runtime=runtime))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
