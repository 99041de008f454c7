"""An API behind a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field

from upnext import Api
from upnext.api.serve import serve_api


@define
class Served:
    """An API that is being served."""

    url: str
    client: httpx.AsyncClient
    stopping: anyio.Event
    over: anyio.Event = field(factory=anyio.Event)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)


Serving = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serving() -> Serving:
    """Serve an API for as long as a block lasts, and stop it in order behind it."""

    @asynccontextmanager
    async def serve(api: Api, *, timeout: float = 5.0, **options: Any) -> AsyncIterator[Served]:
        api.port = 0
        stopping = anyio.Event()
        with anyio.fail_after(50):
            async with anyio.create_task_group() as group, httpx.AsyncClient() as client:
                start = partial(serve_api, api, stopping=stopping, timeout=timeout, **options)
                served = Served("", client, stopping)

                async def run(*, task_status: Any) -> None:
                    await start(task_status=task_status)
                    served.over.set()

                (served.url,) = await group.start(run)
                client.base_url = served.url
                yield served
                await client.aclose()
                stopping.set()

    return serve
