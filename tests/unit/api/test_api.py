"""Declaring an API, and what stands around its handlers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import quart
import quart_trio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.asking import asking
from upnext import Api, ConfigurationError
from upnext.api.ports import ASGIApp, Message, Receive, Scope, Send
from upnext.api.route_of import route_of
from upnext.api.runtime import Runtime


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
        (lambda: Api("a", port=70_000), "port must be from 0 to 65535, not 70000"),
        (lambda: Api("a", request_timeout=0), "request_timeout must be more than 0"),
        (lambda: Api("a", max_body_bytes=-1), "max_body_bytes must be 0 or more"),
        (lambda: Api.from_asgi(foreign).get("/")(print), "declare it on the app"),
        (lambda: Api("a").group("orders"), "must begin with '/'"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


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


# ------ deadlines


async def test_a_handler_past_its_deadline_is_cancelled() -> None:
    api, ended = Api("a", request_timeout=30), []

    @api.get("/slow")
    async def slow() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(anyio.current_effective_deadline() - anyio.current_time())

    async with asking(api) as client:
        answer = await client.get("/slow", headers={"X-Request-Timeout": "0.01"})
    assert (answer.status_code, answer.json()) == (504, {"detail": "not done within 0.01 seconds"})
    assert len(ended) == 1


@pytest.mark.parametrize(
    ("longest", "header", "seconds"), [(5, "60", 5), (60, "5", 5), (None, "5", 5), (5, None, 5)]
)
async def test_the_shorter_limit_counts(
    longest: float | None, header: str | None, seconds: float
) -> None:
    api = Api("a", request_timeout=longest)

    @api.get("/")
    async def get() -> float:
        return anyio.current_effective_deadline() - anyio.current_time()

    async with asking(api) as client:
        headers = {} if header is None else {"X-Request-Timeout": header}
        left = (await client.get("/", headers=headers)).json()
    assert seconds - 2 < left <= seconds


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan", "inf", ""])
async def test_a_timeout_that_is_none_is_refused(header: str) -> None:
    async with asking(Api("a")) as client:
        answer = await client.get("/", headers={"X-Request-Timeout": header})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("X-Request-Timeout must be a number of seconds")


# ------ the runtime's routes


class Broker:
    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.error, self.hangs = error, hangs

    async def ping(self) -> None:
        if self.hangs:
            await anyio.sleep_forever()
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("runtime", "status", "told"),
    [
        (Runtime(Broker()), 200, {"status": "ok", "broker": "ok"}),
        (Runtime(), 200, {"status": "ok", "broker": "none"}),
        (
            Runtime(Broker(OSError("refused"))),
            503,
            {"status": "degraded", "detail": "the broker cannot be reached: refused"},
        ),
        (
            Runtime(Broker(hangs=True)),
            503,
            {"status": "degraded", "detail": "the broker did not answer within 0.01 s"},
        ),
        (
            Runtime(Broker(), stopping=True),
            503,
            {"status": "stopping", "detail": "the server is stopping"},
        ),
    ],
)
async def test_health_and_readiness(
    runtime: Runtime, status: int, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upnext.api.runtime.PATIENCE", 0.01)
    async with asking(Api("a"), runtime=runtime) as client:
        assert (await client.get("/runtime/health")).json() == {"status": "ok"}
        answer = await client.get("/runtime/ready")
        assert (answer.status_code, answer.json()) == (status, told)
        assert (await client.post("/runtime/ready")).status_code == 405
        assert (await client.get("/runtime/other")).status_code == 404


# ------ middlewares, routes of requests, mounts


def noting(app: ASGIApp, *, word: str, log: list[str]) -> ASGIApp:
    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        log.append(f"{word} in")
        await app(dict(scope), receive, send)  # a copy, as many do
        log.append(f"{word} out")

    return noted


async def test_middlewares_stand_around_in_order_and_know_the_route() -> None:
    api, log, seen = Api("a"), [], []
    api.add_middleware(noting, word="first", log=log)
    api.add_middleware(noting, word="second", log=log)

    @api.get("/orders/{id}")
    async def order(id: int) -> int:
        return id

    @api.app.get("/raw/<int:id>")
    async def raw(id: int) -> str:
        return str(id)

    def outer(app: ASGIApp) -> ASGIApp:
        async def watch(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {}
            statuses: list[int] = []

            async def hear(message: Message) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])
                await send(message)

            await app(scope, receive, hear)
            seen.append((route_of(scope), *statuses))

        return watch

    async with asking(api, outer) as client:
        await client.get("/orders/5")
        assert log == ["second in", "first in", "first out", "second out"]
        await client.get("/raw/5")
        await client.get("/nowhere")
    assert seen == [("/orders/{id}", 200), ("/raw/{id}", 200), (None, 404)]


class Mounted:
    def __init__(self, path: str) -> None:
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Any = PlainTextResponse(f"{self.path}: {scope['path']}")
        await answer(scope, receive, send)


async def test_mounts_answer_where_no_route_does() -> None:
    api = Api("a")
    api.mount(Mounted("/"))
    api.mount(Mounted("/static"))

    @api.get("/orders/{id}")
    async def order(id: int) -> Any:
        return {"detail": "no such order"}, 404

    with pytest.raises(ConfigurationError, match="mounted at '/static' already"):
        api.mount(Mounted("/static"))
    assert [mount.path for mount in api.static_mounts] == ["/", "/static"]
    async with asking(api) as client:
        assert (await client.get("/orders/1")).json() == {"detail": "no such order"}
        assert (await client.get("/static/a.js")).text == "/static: /static/a.js"
        assert (await client.get("/statics")).text == "/: /statics"
        assert (await client.post("/static/a.js")).status_code == 404
        assert (await client.get("/runtime/health")).json() == {"status": "ok"}


# ------ apps that were made elsewhere


async def foreign(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app by hand; it knows no lifespan."""
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/boom":
        raise RuntimeError("the secret")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body[:10]})


async def test_any_asgi_app() -> None:
    api = Api.from_asgi(foreign, name="by hand", max_body_bytes=20)
    assert api.app is foreign
    assert api.name == "by hand"

    async with asking(api) as client:
        assert (await client.post("/", content=b"hello")).text == "hello"
        assert (await client.get("/runtime/health")).json() == {"status": "ok"}
        assert (await client.post("/", content=b"x" * 21)).status_code == 413
        answer = await client.get("/boom")
        assert (answer.status_code, set(answer.json())) == (500, {"detail", "id"})


async def test_a_body_that_turns_out_too_long_is_refused() -> None:
    parts = [{"type": "http.request", "body": b"x" * 15, "more_body": True}] * 2
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await Api.from_asgi(foreign, max_body_bytes=20).asgi()(scope, receive, send)
    assert [message.get("status") for message in sent] == [413, None]


async def test_starlette() -> None:
    async def order(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["id"])

    app = Starlette(routes=[Route("/orders/{id}", order)])
    api, seen = Api.from_asgi(app), []

    def outer(inner: ASGIApp) -> ASGIApp:
        async def watch(scope: Scope, receive: Receive, send: Send) -> None:
            await inner(scope, receive, send)
            seen.append(route_of(scope))

        return watch

    api.mount(Mounted("/"))
    assert api.name == "upnext-api"
    async with asking(api, outer) as client:
        assert (await client.get("/orders/5")).text == "5"
        assert (await client.get("/else")).text == "/: /else"
    assert seen[0] in ("/orders/{id}", None)  # older releases do not tell


@pytest.mark.parametrize("kind", [quart.Quart, quart_trio.QuartTrio])
async def test_a_quart_app_runs_on_both_backends(kind: type[quart.Quart]) -> None:
    app = kind("theirs", static_folder=None)

    @app.get("/theirs/<int:id>")
    async def theirs(id: int) -> dict[str, int]:
        return {"id": id, "body": len(await quart.request.get_data())}

    api = Api.from_quart(app, name="theirs")

    @api.get("/ours/{id}")
    async def ours(id: int) -> int:
        return id

    assert api.app is app
    assert isinstance(app, kind)
    async with asking(api) as client:
        assert (await client.get("/theirs/5")).json() == {"id": 5, "body": 0}
        assert (await client.get("/ours/5")).json() == 5
        assert (await client.get("/docs")).status_code == 404
        assert "text/html" in (await client.get("/nowhere")).headers["content-type"]
