"""Apps of other frameworks, adopted: their routes are what is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tests.integration.api.conftest import Serving
from tests.support.servers import RedisServer
from upnext import Api
from upnext.api.tracking import Tracker
from upnext.contracts.keys import Keys
from upnext.model.traffic import Period
from upnext.redis.link import Link
from upnext.redis.url import Address
from upnext.store.bounds import Bounds
from upnext.store.store import Store


def fast_api() -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/orders")

    @router.get("/{order_id}")
    async def order(order_id: int) -> dict[str, int]:
        return {"id": order_id}

    app.include_router(router)
    return app


def starlette() -> Starlette:
    async def order(request: object) -> PlainTextResponse:
        return PlainTextResponse("here")

    return Starlette(routes=[Mount("/orders", routes=[Route("/{order_id}", order)])])


@pytest.mark.parametrize("make", [fast_api, starlette])
async def test_the_routes_of_an_adopted_app_are_counted(
    make: Callable[[], Any], redis_server: RedisServer, serving: Serving
) -> None:
    redis_server.flush()
    link = Link(Address.parse(redis_server.url))
    store = Store(link, Keys(), Bounds())
    api = Api.from_asgi(make(), name="adopted")
    tracker = Tracker(api.name, api.api_id, store)
    try:
        async with anyio.create_task_group() as group:
            await group.start(tracker.run)
            async with serving(api, outer=[tracker.middleware]) as served:
                for path in ("/orders/1", "/orders/2", "/elsewhere"):
                    await served.client.get(path)
            group.cancel_scope.cancel()  # it writes the rest
        counted = await store.traffic("adopted", Period.HOUR, 2)
        assert {one.endpoint: one.tally.requests for one in counted} == {
            "GET /orders/{order_id}": 2,
            "GET unmatched": 1,
        }
    finally:
        await link.aclose()
