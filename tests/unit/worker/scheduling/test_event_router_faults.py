"""Routers that fail, die, stop and are cut off: each handler gets each event once all the same."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from tests.support.routing import HANDLERS, LATE, Faulty, event, jobs, router, run, wanted
from upnext.errors import JobRefusedError
from upnext.model.identity import handler_job_id
from upnext.model.job import Enqueued, NewJob
from upnext.store.bounds import Bounds
from upnext.testing.memory import MemoryStore
from upnext.worker.scheduling.event_router import BATCH, MOST_LEASE, RETRY_INTERVAL

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
