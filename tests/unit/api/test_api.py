"""Declaring an API, and what stands around its handlers."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import quart

from tests.support.asking import asking
from upnext import Api, ConfigurationError


async def test_routes_groups_and_blueprints() -> None:
    api = Api("shop")
    orders = api.group("/orders", tags=["orders"])
    lines = orders.group("/{id}/lines", tags=["lines"])
    plain = quart.Blueprint("plain", __name__)

    @orders.get("")
    async def all_orders() -> list[int]:
        return [1]

    @orders.route("/{id}", ["PUT", "PATCH"])
    async def change(id: int) -> str:
        return quart.request.method

    @lines.delete("/{line}", status_code=204)
    async def remove(id: int, line: int) -> None: ...

    @plain.get("/hello")
    async def hello() -> str:
        return "<p>hello"

    api.include_blueprint(plain, url_prefix="/plain")
    assert [(route.methods, route.path.template) for route in api.routes] == [
        (("GET",), "/orders"),
        (("PUT", "PATCH"), "/orders/{id}"),
        (("DELETE",), "/orders/{id}/lines/{line}"),
    ]
    assert api.routes[2].options.tags == ("orders", "lines")
    assert api.api_id.startswith("api_")
    async with asking(api) as client:
        assert (await client.get("/orders")).json() == [1]
        assert (await client.put("/orders/3")).json() == "PUT"
        assert (await client.delete("/orders/3/lines/4")).status_code == 204
        assert (await client.get("/plain/hello")).text == "<p>hello"
        answer = await client.get("/nowhere")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
        answer = await client.post("/orders")
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Api(" "), "name must not be empty"),
        (lambda: Api(5), "name must be a text, not 5"),  # type: ignore[arg-type]
        (lambda: Api("a", port=70_000), "port must be a whole number, from 0 to 65535, not 70000"),
        (lambda: Api("a", port=True), "port must be a whole number"),
        (lambda: Api("a", host=None), "host must be a text"),  # type: ignore[arg-type]
        (lambda: Api("a", docs_url=5), "docs_url must be a path"),  # type: ignore[arg-type]
        (lambda: Api("a", redis_url=5), "redis_url must be a text .*, not this"),  # type: ignore[arg-type]
        (lambda: Api("a", debug="no"), "debug must be True or False"),  # type: ignore[arg-type]
        (lambda: Api("a", request_timeout=0), "request_timeout must be .* more than 0, not 0"),
        (lambda: Api("a", request_timeout=math.nan), "request_timeout must be a number of sec"),
        (lambda: Api("a", request_timeout="x"), "request_timeout must be a number of sec"),  # type: ignore[arg-type]
        (lambda: Api("a", max_body_bytes=-1), "max_body_bytes must be a whole number, 0 or more"),
        (lambda: Api("a", max_body_bytes=1.5), "max_body_bytes must be a whole"),  # type: ignore[arg-type]
        (lambda: Api.from_asgi(print).get("/")(print), "declare it on the app"),
        (lambda: Api("a").group("orders"), "must begin with '/'"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
async def test_each_method_has_its_decorator(method: str) -> None:
    api = Api("a")

    async def answer() -> str:
        return quart.request.method

    getattr(api, method)("/")(answer)
    async with asking(api) as client:
        assert (await client.request(method, "/")).json() == method.upper()
        other = "put" if method == "delete" else "delete"
        assert (await client.request(other, "/")).status_code == 405


def test_a_path_is_taken_once() -> None:
    api = Api("a")

    def order(id: int) -> int:
        return id

    api.get("/{id}")(order)
    api.post("/{id}")(order)
    with pytest.raises(ConfigurationError, match="GET /<id> is taken by 'order'"):
        api.get("/<id>")(order)


async def test_an_error_is_logged_with_the_id_that_the_client_gets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = Api("a", debug=True)

    @api.get("/boom")
    async def boom() -> None:
        raise RuntimeError("the secret")

    @api.app.get("/plain")
    async def plain() -> None:
        raise RuntimeError("the secret")

    async with asking(api) as client:
        for path in ("/boom", "/plain"):
            caplog.clear()
            answer = await client.get(path)
            assert answer.status_code == 500
            told = answer.json()
            assert told == {"detail": "Internal Server Error", "id": told["id"]}
            [record] = [each for each in caplog.records if told["id"] in each.getMessage()]
            assert record.levelno == logging.ERROR
            assert record.exc_info is not None
            assert "the secret" in str(record.exc_info[1])


async def test_an_error_handler_of_the_user_comes_first() -> None:
    api = Api("a")

    @api.app.errorhandler(KeyError)
    async def missing(error: KeyError) -> Any:
        return {"missing": str(error)}, 410

    @api.get("/")
    async def get() -> None:
        raise KeyError("x")

    async with asking(api) as client:
        assert (await client.get("/")).status_code == 410


async def test_quarts_own_test_client_serves_on_both_backends() -> None:
    api = Api("a")

    @api.get("/hello/{name}")
    async def hello(name: str) -> dict[str, str]:
        return {"hello": name}

    @api.app.websocket("/echo")
    async def echo() -> None:
        await quart.websocket.send(await quart.websocket.receive())

    client = api.app.test_client()
    answer = await client.get("/hello/ada")
    assert await answer.get_json() == {"hello": "ada"}
    async with client.websocket("/echo") as websocket:
        await websocket.send("hi")
        assert await websocket.receive() == "hi"


async def test_background_tasks_start_and_stop_run_in_the_app() -> None:
    api, log = Api("a"), []

    @api.app.before_serving
    async def before() -> None:
        log.append("before")

    @api.app.while_serving
    async def around() -> Any:
        log.append("open")
        yield
        log.append("close")

    @api.app.after_serving
    def after() -> None:
        log.append("after")

    @api.get("/")
    async def get() -> None:
        api.app.add_background_task(log.append, "background")

    async with api.app.test_app() as served:
        assert (await served.test_client().get("/")).status_code == 200
        with anyio.fail_after(5):
            while "background" not in log:
                await anyio.lowlevel.checkpoint()
    assert log == ["before", "open", "background", "close", "after"]


def test_quart_is_not_imported_before_an_api_is() -> None:
    program = "import sys, upnext; assert not {'quart', 'hypercorn'} & set(sys.modules); upnext.Api"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])
