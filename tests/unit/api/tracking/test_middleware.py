"""What a request is counted as, whatever the application makes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.support.counted import Server, answer, ok, start
from upnext.api.tracking.ports import Message, Receive, Scope, Send


async def test_a_request_is_counted_by_method_and_template() -> None:
    server = Server(ok)
    one = await server.noted()
    assert (one.method, one.path, one.status) == ("GET", "/orders/{id}", 200)
    assert [message["type"] for message in server.sent] == [
        "http.response.start",
        "http.response.body",
    ]
    await server.request("/orders/8")
    await server.request("/orders/8", "DELETE")
    assert server.counted() == {"GET /orders/{id}": 2, "DELETE /orders/{id}": 1}


async def test_what_no_route_was_there_for_is_one_name_and_shown_as_it_was() -> None:
    async def missing(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 404)

    server = Server(missing)
    one = await server.noted("/wp-admin.php")
    assert (one.path, one.status) == ("/wp-admin.php", 404)
    await server.request("/.env")
    assert server.counted() == {"GET unmatched": 2}


async def test_a_404_of_a_route_is_the_routes() -> None:
    async def missing(scope: Scope, receive: Receive, send: Send) -> None:
        scope["upnext.route"] = "/orders/{id}"
        await answer(send, 404)

    server = Server(missing)
    await server.request()
    assert server.counted() == {"GET /orders/{id}": 1}


async def test_unknown_methods_are_one() -> None:
    server = Server(ok)
    for method in ("BREW", "get", "PROPFIND"):
        await server.request(method=method)
    assert server.counted() == {"OTHER /orders/{id}": 3}


async def test_paths_are_counted_where_that_is_asked_for_but_unmatched_ones_never() -> None:
    async def some(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/orders/"):
            scope["upnext.route"] = "/orders/{id}"
        await answer(send)

    server = Server(some, normalize=False)
    for path in ("/orders/7", "/orders/8", "/else"):
        await server.request(path)
    assert server.counted() == {"GET /orders/7": 1, "GET /orders/8": 1, "GET unmatched": 1}


async def test_what_machines_ask_for_is_not_counted() -> None:
    server = Server(ok)
    await server.request("/runtime/health")
    assert (server.counted(), len(server.sent)) == ({}, 2)
    await server.request("/runtimes")
    assert server.counted() == {"GET /orders/{id}": 1}


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "of.tomorrow"])
async def test_what_is_not_http_is_left_alone(kind: str) -> None:
    given: list[Any] = []

    async def app(*args: Any) -> None:
        await checkpoint()
        given.extend(args)

    server = Server(app)
    scope, receive, send = {"type": kind, "path": "/"}, server.receive, server.send
    await server.app(scope, receive, send)
    assert given == [scope, receive, send]
    assert server.counted() == {}


async def test_latency_is_until_the_last_byte_was_sent() -> None:
    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(1)
        await start(send)
        for n in range(3):
            await anyio.sleep(1)
            await send({"type": "http.response.body", "body": b"x", "more_body": n < 2})
        await anyio.sleep(10)  # cleans up

    server = Server(streams)
    began = anyio.current_time()
    one = await server.noted()
    assert one.seconds == pytest.approx(4)
    assert one.at == pytest.approx(began + 4)


async def test_a_client_that_reads_slowly_takes_its_time() -> None:
    server = Server(ok)

    async def slowly(message: Message) -> None:
        await anyio.sleep(2)

    server.send = slowly  # type: ignore[method-assign]
    assert (await server.noted()).seconds == pytest.approx(4)


async def test_an_exception_is_a_500_and_passes_on() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        scope["upnext.route"] = "/a"
        await anyio.sleep(1)
        raise ZeroDivisionError

    server = Server(fails)
    with pytest.raises(ZeroDivisionError):
        await server.request()
    one = server.note()
    assert (one.path, one.status, one.seconds) == ("/a", 500, pytest.approx(1))


async def test_an_exception_in_the_middle_of_an_answer_is_a_500() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        raise ExceptionGroup("several", [ZeroDivisionError()])

    server = Server(fails)
    with pytest.raises(ExceptionGroup):
        await server.request()
    assert server.note().status == 500


async def test_no_answer_at_all_is_a_500() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    server = Server(silent)
    assert (await server.noted()).status == 500


async def test_a_client_that_goes_away_before_its_answer_is_a_class_of_its_own() -> None:
    async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep(3)
        assert (await receive())["type"] == "http.disconnect"

    server = Server(gives_up)
    one = await server.noted()
    assert (one.status, one.seconds) == (499, pytest.approx(3))
    [tally] = server.book.take().values()
    assert (tally.gone, tally.client_errors, tally.errors) == (1, 0, 1)


async def test_so_is_one_whose_request_is_given_up_with_an_exception() -> None:
    async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise RuntimeError("client disconnected")

    server = Server(gives_up)
    with pytest.raises(RuntimeError):
        await server.request()
    assert server.note().status == 499


async def test_so_is_one_that_nothing_can_be_sent_to() -> None:
    server = Server(ok)
    server.is_gone = True
    with pytest.raises(ConnectionResetError):
        await server.request()
    assert server.note().status == 499


async def test_a_stream_that_its_client_ends_is_what_it_began_as() -> None:
    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        server.is_gone = True
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    server = Server(streams)
    with pytest.raises(ConnectionResetError):
        await server.request()
    assert server.note().status == 200


async def test_an_answered_request_whose_client_then_goes_away_is_answered() -> None:
    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 201)
        while (await receive())["type"] != "http.disconnect":
            pass

    server = Server(waits)
    assert (await server.noted()).status == 201


@pytest.mark.parametrize(("begun", "status"), [(False, 500), (True, 200)])
async def test_a_request_cancelled_by_the_server_is_counted_and_the_cancellation_passes(
    begun: bool, status: int
) -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await start(send)
        await anyio.sleep_forever()

    server = Server(endless)
    with anyio.move_on_after(2) as scope:
        await server.request()
    assert scope.cancelled_caught
    one = server.note()
    assert (one.status, one.seconds) == (status, pytest.approx(2))


@pytest.mark.parametrize(
    ("route", "scope", "template"),
    [
        (SimpleNamespace(path="/a/{x}"), {}, "/a/{x}"),
        (SimpleNamespace(path="/a/{x:int}", path_format="/a/{x}"), {}, "/a/{x}"),
        (SimpleNamespace(path_format="/x"), {"root_path": "/shop"}, "/x"),
        (SimpleNamespace(path_format="/x"), {"root_path": "/shop", "mount": "/v1"}, "/v1/x"),
        (
            SimpleNamespace(path_format="/x"),
            {"mount": "/of/ada/v1", "path_params": {"who": "ada", "n": 3}},
            "/of/{who}/v1/x",
        ),
        (SimpleNamespace(path_format="/files/{path}", routes=[]), {"mount": "/files"},
         "/files/{path}"),
        (SimpleNamespace(), {}, "unmatched"),
        (object(), {"mount": "/v1"}, "unmatched"),
    ],
)  # fmt: skip
async def test_the_route_of_other_frameworks_is_understood(
    route: object, scope: dict[str, Any], template: str
) -> None:
    scope = dict(scope)
    mount = scope.pop("mount", "")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = route
        if mount:
            scope["root_path"] = scope.get("root_path", "") + mount
        await answer(send)

    server = Server(app)
    await server.request("/whatever", **scope)
    assert server.counted() == {f"GET {template}": 1}
