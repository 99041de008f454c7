"""Who gets an event, and when; several routers at once."""

from __future__ import annotations

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint

from tests.support.routing import HANDLERS, Faulty, event, jobs, router, run, wanted
from upnext.contracts.handlers import encode_handler
from upnext.model.identity import handler_job_id, new_job_id
from upnext.store.bounds import Bounds
from upnext.testing.memory import MemoryStore
from upnext.worker.scheduling.event_router import BATCH, KEEP_INTERVAL, SWEEP_INTERVAL


async def test_each_matching_handler_gets_one_job_with_the_events_data_and_lineage() -> None:
    store = MemoryStore()
    paid = event(parent_id="work-1", root_id="root-1", deadline=10**15)
    sent = event("order.sent")
    other = event("mail.bounced")
    await store.send([paid, sent, other])
    await run(store, 1, router(store))
    assert sorted(jobs(store)) == sorted(
        wanted(paid)
        + wanted(sent, functions=["audit", "mail"])
        + wanted(other, functions=["audit"])
    )
    job = await store.lookup(handler_job_id("mail", paid.id))
    assert job is not None
    assert (job.arguments, job.parent_id, job.root_id, job.deadline) == (
        b'{"n":1}', "work-1", "root-1", 10**15,
    )  # fmt: skip
    assert orjson.loads(job.source) == {
        "type": "event",
        "event": "order.paid",
        "event_id": paid.id,
        "event_pattern": "order.*",
        "event_handler_name": "mail",
    }
    alone = await store.lookup(handler_job_id("mail", sent.id))
    assert alone is not None
    assert (alone.parent_id, alone.root_id) == ("", alone.id)
    assert (await store.survey()).waiting == 0


async def test_an_event_is_routed_at_once_when_it_is_sent() -> None:
    store, made = MemoryStore(), router(MemoryStore())
    made = router(store)
    routed_after: list[float] = []

    async def send() -> None:
        await anyio.sleep(2.5)
        began = anyio.current_time()
        await store.send([event()])
        while not jobs(store):
            await checkpoint()
        routed_after.append(anyio.current_time() - began)

    async with anyio.create_task_group() as group:
        group.start_soon(run, store, 4.0, made)
        group.start_soon(send)
    assert routed_after == [pytest.approx(0, abs=0.01)]


async def test_a_lost_wake_up_is_covered_by_the_sweep() -> None:
    store = MemoryStore()
    made = router(store)
    with anyio.move_on_after(2 * SWEEP_INTERVAL + 1):
        async with anyio.create_task_group() as group:
            group.start_soon(made.run)
            await anyio.sleep(1)
            one = event()
            await store.send([one])
            assert jobs(store) == []
    assert sorted(jobs(store)) == wanted(one)


async def test_an_idle_router_asks_once_a_sweep_and_keeps_its_handlers_on_the_roll() -> None:
    store = Faulty(bounds=Bounds(handler_ttl=round(1.5 * KEEP_INTERVAL * 1000)))
    await run(store, 4 * KEEP_INTERVAL, router(store))
    assert store.calls["take"] <= 4 * KEEP_INTERVAL / SWEEP_INTERVAL + 1
    assert (await store.survey()).handlers == HANDLERS
    assert store.board.declared["mail"] >= await store.now() - KEEP_INTERVAL * 1000


async def test_a_worker_without_handlers_asks_nothing() -> None:
    store = Faulty()
    await store.send([event()])
    made = router(store, handlers={})
    await run(store, 100, made)
    assert store.calls["take"] == 0
    assert made.note() is False
    assert (await store.survey()).waiting == 1


async def test_an_event_nobody_handles_is_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    await store.send([event("mail.bounced"), event(), event("mail.bounced")])
    await run(store, 1, router(store, handlers={"stock": encode_handler("order.paid")}))
    view = await store.survey()
    assert (view.waiting, [one.name for one in view.unhandled]) == (0, ["mail.bounced"] * 2)
    assert caplog.text.count("no handler of the event 'mail.bounced'") == 1


async def test_an_event_sent_before_any_worker_ever_started_is_routed_when_one_does() -> None:
    store = MemoryStore()
    one = event()
    await store.send([one])
    await anyio.sleep(3600)
    await run(store, 1, router(store))
    assert sorted(jobs(store)) == wanted(one)


async def test_handlers_of_other_workers_get_the_event() -> None:
    store = MemoryStore()
    await store.enlist({"elsewhere": encode_handler("order.**")}, starts=True)
    one = event()
    await store.send([one])
    await run(store, 1, router(store))
    assert sorted(jobs(store)) == wanted(one, functions=[*HANDLERS, "elsewhere"])


async def test_a_handler_that_comes_later_gets_what_is_routed_later() -> None:
    store = MemoryStore()
    first, second = event(), event()
    made = router(store)
    async with anyio.create_task_group() as group:
        group.start_soon(run, store, 10.0, made)
        await anyio.sleep(1)
        await store.send([first])
        await anyio.sleep(1)
        await store.enlist({"late": encode_handler("order.paid")}, starts=True)
        await store.send([second])
    assert sorted(jobs(store)) == sorted(
        wanted(first) + wanted(second, functions=[*HANDLERS, "late"])
    )


async def test_a_record_on_the_roll_that_cannot_be_read_holds_nobody_up() -> None:
    store = MemoryStore()
    await store.enlist({"a": b"\xff", "b": b"[]", "c": b'{"pattern":".."}'}, starts=True)
    one = event()
    await store.send([one])
    await run(store, 1, router(store))
    assert sorted(jobs(store)) == wanted(one)


async def test_racing_routers_make_each_job_once() -> None:
    store = MemoryStore()
    events = [event() for _ in range(5 * BATCH)]
    made = [router(store, f"r{n}") for n in range(4)]
    async with anyio.create_task_group() as group:
        group.start_soon(run, store, 20.0, *made)
        for one in events:
            await store.send([one])
    assert sorted(jobs(store)) == wanted(*events)
    created = [e for q in store.queues.values() for e in q.events if e["type"] == "queued"]
    assert len(created) == len(events) * len(HANDLERS)


async def test_of_a_cancelled_tree_no_handler_starts() -> None:
    store = MemoryStore()
    await store.declare(dict.fromkeys(HANDLERS, b"{}"))
    root = new_job_id("root")
    await store.cancel_trees([root], "enough")
    await store.send([event(parent_id=new_job_id("work"), root_id=root)])
    await run(store, 1, router(store))
    assert jobs(store) == []
    assert (await store.survey()).waiting == 0
