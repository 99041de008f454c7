"""Routers that race, die, stop and are cut off; each handler gets each event once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from upnext.contracts.handlers import encode_handler
from upnext.errors import JobRefusedError
from upnext.model.event import Concluded, NewEvent
from upnext.model.identity import handler_job_id, new_event_id
from upnext.model.job import Enqueued, NewJob
from upnext.store.bounds import Bounds
from upnext.testing.memory import MemoryStore
from upnext.worker.scheduling.event_router import (
    BATCH,
    KEEP_INTERVAL,
    MOST_LEASE,
    RETRY_INTERVAL,
    SWEEP_INTERVAL,
    EventRouter,
)

HANDLERS = {
    "audit": encode_handler("**"),
    "mail": encode_handler("order.*"),
    "stock": encode_handler("order.paid"),
}
LATE = 2 * SWEEP_INTERVAL + MOST_LEASE / 1000
"""Seconds after which all that a dead router held has been taken over."""


def event(name: str = "order.paid", **fields: Any) -> NewEvent:
    return NewEvent(id=new_event_id(), name=name, data=b'{"n":1}', **fields)


def router(store: Any, worker: str = "r1", handlers: Any = None) -> EventRouter:
    return EventRouter(store, worker, HANDLERS if handlers is None else handlers, MOST_LEASE)


def wake_by(store: MemoryStore, made: EventRouter) -> None:
    """What the canceller does."""
    channel = store.keys.worker_channel(made.worker)
    store.subscribe(channel, lambda _: void(made.note()), lambda: None)


def void(_: object) -> None: ...


def jobs(store: MemoryStore) -> list[str]:
    return [job.id for queue in store.queues.values() for job in queue.jobs.values()]


def wanted(*events: NewEvent, functions: Sequence[str] = tuple(HANDLERS)) -> list[str]:
    return sorted(handler_job_id(name, one.id) for one in events for name in functions)


async def run(store: MemoryStore, seconds: float, *routers: EventRouter) -> None:
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for one in routers:
                wake_by(store, one)
                group.start_soon(one.run)


class Faulty(MemoryStore):
    """Fails, stalls or dies at chosen calls, before or after they took effect.

    Attributes:
        faults: Verb -> what to do at its next calls: an error to raise, or something to call;
            None: nothing.
        after: The call takes effect, and only its answer is lost.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.faults: dict[str, list[Any]] = {}
        self.after = False
        self.calls: Counter[str] = Counter()

    async def _with_fault(self, verb: str, call: Callable[[], Any]) -> Any:
        self.calls[verb] += 1
        faults = self.faults.get(verb)
        fault = faults.pop(0) if faults else None
        answer = await call() if fault is None or self.after else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            await fault()
            if not self.after:
                raise LostConnectionError("gone")
        return answer

    async def take(self, *args: Any, **how: Any) -> Any:
        return await self._with_fault("take", lambda: MemoryStore.take(self, *args, **how))

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        return await self._with_fault("enqueue", lambda: MemoryStore.enqueue(self, jobs))

    async def conclude(self, worker: str, concluded: Sequence[Concluded]) -> list[bool]:
        call = lambda: MemoryStore.conclude(self, worker, concluded)  # noqa: E731
        return await self._with_fault("conclude", call)


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
    await store.send([event("mail.bounced"), event()])
    await run(store, 1, router(store, handlers={"stock": encode_handler("order.paid")}))
    view = await store.survey()
    assert (view.waiting, [one.name for one in view.unhandled]) == (0, ["mail.bounced"])
    assert "no handler of mail.bounced" in caplog.text


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


FAULTS = [LostConnectionError("gone"), ResponseError("ERR odd"), OutOfMemoryError("full")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("verb", ["take", "enqueue", "conclude"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_what_fails_is_soon_tried_again_and_done_once(
    verb: str, fault: Exception, after: bool
) -> None:
    store = Faulty()
    store.after = after
    events = [event() for _ in range(2 * BATCH)]
    await store.send(events)
    store.faults[verb] = [fault, None, fault, fault]
    # What one function's queue refuses waits for the end of the lease.
    apart = verb == "enqueue" and type(fault) is ResponseError
    await run(store, LATE if apart else 10 * RETRY_INTERVAL, router(store))
    assert sorted(jobs(store)) == wanted(*events)
    assert (await store.survey()).waiting == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("verb", ["take", "enqueue", "conclude"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_what_a_router_held_that_died_is_routed_by_another(
    verb: str, after: bool, at: int
) -> None:
    store = Faulty()
    store.after = after
    events = [event() for _ in range(3 * BATCH)]
    await store.send(events)
    dead, buried = anyio.Event(), anyio.Event()

    async def die() -> None:
        dead.set()
        with anyio.CancelScope(shield=True):
            await buried.wait()

    store.faults[verb] = [*[None] * (at - 1), die]
    async with anyio.create_task_group() as group:
        group.start_soon(router(store, "dead").run)
        await dead.wait()
        # It is frozen, as kill -9 would leave it: cancelling would let its round end.
        await run(store, LATE, router(store, "alive"))
        assert sorted(jobs(store)) == wanted(*events)
        assert (await store.survey()).waiting == 0
        group.cancel_scope.cancel()
        buried.set()


async def test_a_router_that_slept_through_its_lease_changes_nothing() -> None:
    store = Faulty()
    one = event()
    await store.send([one])
    slept = anyio.Event()

    async def sleep() -> None:
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + 100):
            await anyio.sleep(100)
        slept.set()

    store.after = True
    store.faults["take"] = [sleep]
    async with anyio.create_task_group() as group:
        group.start_soon(run, store, 130.0, router(store, "sleeper"))
        await anyio.sleep(1)
        await run(store, LATE, router(store, "awake"))
        for job in [job for queue in store.queues.values() for job in queue.jobs.values()]:
            job.arguments = b"changed"
        await slept.wait()
        await anyio.sleep(20)
        group.cancel_scope.cancel()
    assert store.calls["enqueue"] == 1
    assert sorted(jobs(store)) == wanted(one)


async def test_a_soft_stop_lets_a_round_end_and_takes_nothing_more() -> None:
    store = Faulty()
    events = [event() for _ in range(3 * BATCH)]
    await store.send(events)
    made = router(store)
    async with anyio.create_task_group() as group:

        async def stop() -> None:
            group.cancel_scope.cancel()
            await checkpoint()

        store.after = True
        store.faults["take"] = [stop]
        group.start_soon(made.run)
    assert len(jobs(store)) == BATCH * len(HANDLERS)
    assert [one.owner for one in store.board.sent.values()] == [""] * 2 * BATCH
    assert made.note() is False


async def test_a_server_that_hangs_does_not_hold_up_a_soft_stop() -> None:
    store = Faulty()
    await store.send([event()])
    store.faults["enqueue"] = [anyio.sleep_forever]
    began = anyio.current_time()
    with anyio.move_on_after(1):
        await router(store).run()
    assert anyio.current_time() - began <= MOST_LEASE / 1000


async def test_a_full_handler_gets_its_job_later_and_the_others_get_theirs_once() -> None:
    store = MemoryStore(bounds=Bounds(most_waiting=1))
    first, second = event("order.sent"), event()
    await store.send([first])
    async with anyio.create_task_group() as group:
        group.start_soon(run, store, 60.0, router(store))
        await anyio.sleep(1)
        stock = {"stock": handler_job_id("stock", second.id)}
        await store.send([second])
        await anyio.sleep(1)
        # `audit` and `mail` are full with the first one; `stock` has room.
        assert sorted(jobs(store)) == sorted(
            [*wanted(first, functions=["audit", "mail"]), *stock.values()]
        )
        claimed = await store.claim("w", [(name, 9) for name in HANDLERS])
        assert len(claimed.jobs) == 3
        await anyio.sleep(LATE)
        assert sorted(jobs(store)) == sorted(
            wanted(first, functions=["audit", "mail"]) + wanted(second)
        )
    assert (await store.survey()).waiting == 0


async def test_one_handler_with_damaged_keys_holds_up_only_itself() -> None:
    class Damaged(MemoryStore):
        damaged = True

        async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
            if self.damaged and any(job.function == "mail" for job in jobs):
                raise ResponseError("WRONGTYPE")
            return await super().enqueue(jobs)

    store = Damaged()
    one = event()
    await store.send([one])
    async with anyio.create_task_group() as group:
        group.start_soon(run, store, 60.0, router(store))
        await anyio.sleep(1)
        assert sorted(jobs(store)) == wanted(one, functions=["audit", "stock"])
        store.damaged = False
    assert sorted(jobs(store)) == wanted(one)


async def test_of_a_cancelled_tree_no_handler_starts() -> None:
    store = MemoryStore()
    await store.declare(dict.fromkeys(HANDLERS, b"{}"))
    await store.cancel_tree("root-1", "enough")
    await store.send([event(parent_id="work-1", root_id="root-1")])
    await run(store, 1, router(store))
    assert jobs(store) == []
    assert (await store.survey()).waiting == 0


async def test_a_server_that_lost_its_data_hears_of_the_handlers_again() -> None:
    store = MemoryStore()
    one = event()
    async with anyio.create_task_group() as group:
        group.start_soon(run, store, 30.0, router(store))
        await anyio.sleep(1)
        store.board.handlers.clear()
        store.board.declared.clear()
        store.board.version += 1
        await store.send([one])
    assert sorted(jobs(store)) == wanted(one)
    assert (await store.survey()).handlers == HANDLERS
