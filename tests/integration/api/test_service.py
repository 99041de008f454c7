"""An API as a service runs it: what it declares is what is served, counted and told of it."""

from __future__ import annotations

from functools import partial

import anyio
import httpx
import pytest
from anyio.abc import TaskStatus
from quart import Quart

from upnext import Api, ApiTrackingConfig
from upnext.contracts.api_instances import ApiInstance
from upnext.model.traffic import Period
from upnext.service.serving import serve
from upnext.service.surroundings import Surroundings
from upnext.settings import Settings
from upnext.store.bounds import Bounds
from upnext.store.store import Store


@pytest.fixture
def around(redis_url: str) -> Surroundings:
    return Surroundings(Settings.load({}), redis_url)


def store_of(around: Surroundings, own: str | None = None) -> Store:
    return around.store(around.address(own), "test", Bounds())


async def run_api(api: Api, around: Surroundings, *paths: str) -> ApiInstance:
    """Serve an API for some requests, and stop it in order; what it said of itself meanwhile."""
    api.port, stopping, ended = 0, anyio.Event(), list[bool]()

    async def run(*, task_status: TaskStatus[None]) -> None:
        start = partial(serve, api, around, stopping=stopping, timeout=5, task_status=task_status)
        ended.append(await start(dev=False, skip_build=False))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await group.start(run)
            store = store_of(around, api.redis_url)
            while not (instances := await store.api_instances(api.name)):
                pass
            [instance] = instances
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{instance.port}") as client:
                for path in paths:
                    await client.get(path)
            stopping.set()
    assert ended == [True]
    return instance


def read_one(id: int) -> int:
    return id


async def test_requests_are_counted_as_the_api_says_over_the_environment(
    around: Surroundings,
) -> None:
    own = ApiTrackingConfig(normalize_paths=False, events_enabled=False)
    for api in (Api("plain"), Api("own", tracking=own), Api.from_quart(Quart("q"), tracking=own)):
        api.get("/orders/{id}")(read_one)
        await run_api(api, around, "/orders/7", "/orders/8")

    store = store_of(around)
    seen = {
        name: [each.endpoint for each in await store.traffic(name, Period.HOUR, 2)]
        for name in ("plain", "own", "q")
    }
    assert seen == {
        "plain": ["GET /orders/{id}"],
        "own": ["GET /orders/7", "GET /orders/8"],
        "q": ["GET /orders/7", "GET /orders/8"],
    }
    assert len(await store.requests("plain")) == 2
    assert await store.requests("own") == await store.requests("q") == []


async def test_the_instance_names_its_routes_for_as_long_as_it_is_there(
    around: Surroundings,
) -> None:
    api = Api("shop")
    api.route("/orders/{id}", ["GET", "PUT"])(read_one)
    instance = await run_api(api, around, "/orders/7")
    assert (instance.id, instance.host) == (api.api_id, "127.0.0.1")
    assert instance.port != 0  # what it was given for "any that is free"
    assert instance.endpoints == ["GET /orders/{id}", "PUT /orders/{id}"]
    assert await store_of(around).api_instances("shop") == []


async def test_an_api_may_have_a_broker_of_its_own(redis_url: str) -> None:
    """Nobody listens at the broker of the process."""
    around = Surroundings(Settings.load({}), "redis://127.0.0.1:1/0")
    api = Api("shop", redis_url=redis_url)
    api.get("/orders/{id}")(read_one)
    await run_api(api, around, "/orders/7")
    served = await store_of(around, redis_url).traffic("shop", Period.HOUR, 2)
    assert [each.tally.requests for each in served] == [1]
