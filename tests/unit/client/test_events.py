"""Events as users declare and send them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import anyio
import pytest
from attrs import frozen
from redis.exceptions import ConnectionError as LostConnectionError

import upnext
from upnext import ConfigurationError, EventRefusedError
from upnext.client.client import Client
from upnext.client.declarations import TaskDeclarations
from upnext.errors import CodecError
from upnext.model.event import TakenEvent
from upnext.model.identity import is_event_id
from upnext.store.bounds import Bounds
from upnext.tasks.context import Context, current_context
from upnext.testing.memory import MemoryStore


async def taken(store: MemoryStore) -> list[TakenEvent]:
    return (await store.take("hand", 100, 1_000)).events


def test_the_same_pattern_gives_the_same_handle(tasks: TaskDeclarations) -> None:
    handle = tasks.event(" order.* ")
    assert tasks.event("order.*") is handle
    assert tasks.event("order.paid") is not handle
    assert tasks.events == {"order.*": handle, "order.paid": tasks.event("order.paid")}


def test_handlers_are_not_tasks_but_the_worker_runs_them(tasks: TaskDeclarations) -> None:
    paid = tasks.event("order.paid")

    @paid.on
    async def mail(n: int) -> None: ...

    @paid.on(
        name="stock", retries=4, retry_delay=timedelta(seconds=2), retry_backoff=3, timeout=60,
        rate_limit="5/s", max_concurrency=2, routing_group="g", group_max_concurrency=3,
        dead_letter=True, on_start=print, on_success=print, on_failure=print, on_retry=print,
        on_complete=print,
    )  # fmt: skip
    def reserve(n: int) -> None: ...

    assert paid.handler_names == paid.handler_keys == ["mail", "stock"]
    assert tasks.tasks == {}
    assert tasks.registry.names == ["mail", "stock"]
    first, second = paid.handler_configs()
    assert (first["name"], first["kind"], first["pattern"]) == ("mail", "event", "order.paid")
    assert (second["retries"], second["retry_delay"], second["timeout"]) == (4, 2.0, 60.0)
    assert second["rate_limit"] == {"count": 5, "seconds": 1.0}
    assert (second["max_concurrency"], second["routing_group"]) == (2, "g")
    assert len(reserve.definition.hooks) == 5
    assert (mail.name, mail.function_key, mail.pattern) == ("mail", "mail", "order.paid")


def test_wrong_declarations_are_told_at_once(tasks: TaskDeclarations) -> None:
    paid = tasks.event("order.paid")

    @paid.on
    async def mail(n: int) -> None: ...

    @tasks.task
    async def work() -> None: ...

    def fine(n: int) -> None: ...

    with pytest.raises(ValueError, match="stands for whole segments"):
        tasks.event("order.p*")
    with pytest.raises(ConfigurationError, match="two tasks are called 'mail'"):
        tasks.event("other").on(name="mail")(lambda n: None)
    with pytest.raises(TypeError, match="did you mean retries"):
        paid.on(retires=1)(fine)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="no option 'pattern'"):
        paid.on(pattern="x")(fine)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match=r"say @event.on\(name=…\)"):
        paid.on(lambda n: None)
    for declared in (mail, work):
        with pytest.raises(TypeError, match="is declared already"):
            tasks.event("other").on(declared)

    def loose(*args: int) -> None: ...

    with pytest.raises(ValueError, match=r"takes \*args"):
        paid.on(loose)
    assert paid.handler_names == ["mail"]


async def test_send_returns_the_id_once_the_event_is_stored(
    client: Client, tasks: TaskDeclarations, store: MemoryStore
) -> None:
    ids = [
        await tasks.event("order.paid").send(n=1, when=date(2030, 1, 2), self=2, name=3),
        await upnext.send_event("order.paid", n=Decimal("1.5"), name="x"),
        await tasks.event("order.paid").send(),
    ]
    events = await taken(store)
    assert [one.id for one in events] == ids
    assert all(is_event_id(one.id) for one in events)
    assert [json.loads(one.data) for one in events] == [
        {"n": 1, "when": "2030-01-02", "self": 2, "name": 3},
        {"n": "1.5", "name": "x"},
        {},
    ]
    assert {(one.name, one.parent_id, one.root_id, one.deadline) for one in events} == {
        ("order.paid", "", "", None)
    }


async def test_an_idempotent_send_stores_one_event(
    client: Client, tasks: TaskDeclarations, store: MemoryStore
) -> None:
    first = await tasks.event("order.paid").send_idempotent(" k ", n=1)
    assert await tasks.event("order.paid").send_idempotent("k", n=2) == first
    assert await upnext.send_event_idempotent("order.paid", "k", n=3) == first
    assert await upnext.send_event_idempotent("order.sent", "k", key=3) != first
    assert [json.loads(one.data) for one in await taken(store)] == [{"n": 1}, {"key": 3}]
    with pytest.raises(ValueError, match="1 to 256 characters"):
        await upnext.send_event_idempotent("order.paid", " ")


async def test_sync_code_sends_too(
    client: Client, tasks: TaskDeclarations, store: MemoryStore
) -> None:
    handle = tasks.event("order.paid")

    @handle.on
    def mail(n: int) -> None: ...

    def send() -> list[str]:
        return [
            handle.send_sync(n=1),
            handle.send_idempotent_sync("k", n=2),
            handle.send_idempotent_sync("k", n=3),
            upnext.send_event_sync("order.paid", n=4),
            upnext.send_event_idempotent_sync("order.paid", "k", n=5),
            mail.send_sync(6),
        ]

    one, two, again, four, same, six = await anyio.to_thread.run_sync(send)
    assert two == again == same
    assert [(e.id, json.loads(e.data)["n"]) for e in await taken(store)] == [
        (one, 1),
        (two, 2),
        (four, 4),
        (six, 6),
    ]


async def test_a_typed_send_has_the_handlers_signature(
    client: Client, tasks: TaskDeclarations, store: MemoryStore
) -> None:
    @frozen
    class Line:
        price: Decimal

    @tasks.event("order.paid").on
    async def mail(n: int, /, lines: list[Line], *, note: str = "", **others: int) -> None: ...

    await mail.send(1, [Line(Decimal("2.50"))], extra=5)
    [event] = await taken(store)
    # `others` is flat: other handlers of the event know no such name.
    assert json.loads(event.data) == {"n": 1, "lines": [{"price": "2.50"}], "extra": 5}
    args, kwargs = mail.definition.arguments.decode(event.data)
    assert (args, kwargs) == ((1,), {"lines": [Line(Decimal("2.50"))], "extra": 5})
    with pytest.raises(TypeError, match="missing a required argument"):
        await mail.send()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def test_a_pattern_with_wildcards_cannot_be_sent(
    client: Client, tasks: TaskDeclarations
) -> None:
    handle = tasks.event("order.*")

    @handle.on
    async def audit() -> None: ...

    for send in (
        lambda: handle.send(n=1),
        lambda: handle.send_idempotent("k"),
        lambda: audit.send(),
        lambda: upnext.send_event("order.**"),
        lambda: upnext.send_event_idempotent("*", "k"),
    ):
        with pytest.raises(ValueError, match="send one of them by its name"):
            await send()
    for send_sync in (handle.send_sync, audit.send_sync):
        with pytest.raises(ValueError, match="send one of them by its name"):
            send_sync()
    with pytest.raises(ValueError, match="nothing between two dots"):
        await upnext.send_event("order.")


async def test_what_cannot_be_written_is_told_with_its_path(client: Client) -> None:
    with pytest.raises(CodecError, match=r"order\.price: JSON has no nan"):
        await upnext.send_event("order.paid", order={"price": float("nan")})
    with pytest.raises(CodecError, match="more than 1,048,576"):
        await upnext.send_event("order.paid", text="x" * 1_048_576)


async def test_a_failing_store_is_an_error_to_the_sender(
    client: Client, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, tasks: TaskDeclarations
) -> None:
    async def fail(events: Any) -> Any:
        raise LostConnectionError("gone")

    monkeypatch.setattr(store, "send", fail)
    with pytest.raises(LostConnectionError, match="gone"):
        await upnext.send_event("order.paid")
    with pytest.raises(LostConnectionError, match="gone"):
        await anyio.to_thread.run_sync(tasks.event("order.paid").send_sync)


async def test_a_full_store_is_an_error_to_the_sender(client: Client, store: MemoryStore) -> None:
    store.bounds = Bounds(most_waiting=1)
    await upnext.send_event("order.paid")
    with pytest.raises(EventRefusedError, match="UPNEXT_QUEUE_STREAM_MAXLEN"):
        await upnext.send_event("order.paid")


async def test_an_event_sent_in_a_job_knows_the_job(client: Client, store: MemoryStore) -> None:
    token = current_context.set(Context(job_id="w-1", root_id="r-1", deadline=77))
    try:
        await upnext.send_event("order.paid")
    finally:
        current_context.reset(token)
    token = current_context.set(Context(job_id="w-2"))  # a direct call is no job
    try:
        await upnext.send_event("order.paid")
    finally:
        current_context.reset(token)
    first, second = await taken(store)
    assert (first.parent_id, first.root_id, first.deadline) == ("w-1", "r-1", 77)
    assert (second.parent_id, second.root_id, second.deadline) == ("", "", None)


async def test_a_handler_can_be_called_and_submitted_alone(
    tasks: TaskDeclarations, client: Client, store: MemoryStore
) -> None:
    @tasks.event("order.paid").on
    def double(n: int) -> int:
        return 2 * n

    assert double(4) == 8
    assert double.func(5) == 10
    future = await double.task.submit(6)
    assert (await store.lookup(future.job_id)) is not None
    assert await taken(store) == []
