"""What the memory store adds to the verbs: its clock, its channels, its manners."""

from __future__ import annotations

import inspect
import logging

import anyio
import pytest
import trio
from trio.testing import MockClock

from upnext.contracts.keys import Keys
from upnext.model.identity import new_job_id
from upnext.model.job import NewJob
from upnext.redis.waiter import Waiter
from upnext.store.bounds import Bounds
from upnext.store.store import Store
from upnext.testing.memory import LoopClock, MemoryStore


def new(function: str = "work", **fields: int) -> NewJob:
    return NewJob(id=new_job_id(function), function=function, arguments=b"{}", **fields)


def verbs(store: type) -> dict[str, list[tuple[str, object]]]:
    """The public methods of a store, with the names and defaults of their parameters."""
    return {
        name: [(p.name, p.default) for p in inspect.signature(method).parameters.values()]
        for name, method in inspect.getmembers(store, inspect.isfunction)
        if not name.startswith("_")
    }


def test_it_has_every_verb_of_the_real_store() -> None:
    memory = verbs(MemoryStore)
    assert {name: memory.get(name) for name in verbs(Store)} == verbs(Store)


def test_a_mock_clock_drives_it() -> None:
    async def main() -> None:
        store = MemoryStore()
        job = new(delay=3_600_000)
        await store.enqueue([job])
        assert (await store.stage(["work"]))[0].next_due_in == 3_600_000
        await anyio.sleep(3_600)
        assert (await store.stage(["work"]))[0].moved == 1
        assert len((await store.claim("w1", [("work", 1)])).jobs) == 1

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_the_loops_clock_tells_unix_time() -> None:
    async def main() -> int:
        clock = LoopClock()
        first = clock()
        assert first > 1_700_000_000_000
        await anyio.sleep(90)
        return clock() - first

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == 90_000


async def test_two_stores_share_nothing() -> None:
    one, other = MemoryStore(), MemoryStore()
    job = new()
    await one.enqueue([job])
    assert await one.lookup(job.id) is not None
    assert await other.lookup(job.id) is None


async def test_bounds_and_workspace_are_its_own() -> None:
    store = MemoryStore(Keys("mine"), Bounds(most_waiting=1))
    await store.enqueue([new(), new()])
    assert list(store.queues) == [Keys("mine").function("work")]
    assert len(store.queues[Keys("mine").function("work")].jobs) == 1


async def test_who_attends_is_woken_by_a_message() -> None:
    store, waiter, heard = MemoryStore(), Waiter(), list[bytes]()

    def hear(message: bytes) -> None:
        heard.append(message)
        waiter.wake()

    subscription = store.subscribe(store.keys.worker_channel("w1"), hear, lambda: None)
    await store.claim("w1", [("work", 1)])
    attending = anyio.Event()

    async def attend() -> None:
        attending.set()
        await store.attend(waiter)

    async with anyio.create_task_group() as group:
        group.start_soon(attend)
        await attending.wait()
        await store.enqueue([new(), new()])
    assert heard == [b"work " + store.keys.function("work").encode()]
    subscription.close()
    await store.claim("w1", [("work", 5)])
    await store.enqueue([new()])
    assert len(heard) == 1


async def test_attending_what_is_done_is_a_checkpoint() -> None:
    store, waiter = MemoryStore(), Waiter()
    waiter.wake()
    await store.attend(waiter)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.attend(waiter)
        pytest.fail("attending ignored a cancellation")


async def test_attending_can_be_cancelled_and_begun_again() -> None:
    store, waiter = MemoryStore(), Waiter()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.attend(waiter)
    waiter.wake()
    await store.attend(waiter)


async def test_a_cancelled_verb_did_nothing() -> None:
    store, job = MemoryStore(), new()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.enqueue([job])
        pytest.fail("a verb ignored a cancellation")
    assert await store.lookup(job.id) is None


async def test_a_listener_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store, heard = MemoryStore(), list[bytes]()

    def broken(message: bytes) -> None:
        raise RuntimeError("mine")

    channel = store.keys.worker_channel("w1")
    store.subscribe(channel, broken, lambda: None)
    store.subscribe(channel, heard.append, lambda: None)
    await store.claim("w1", [("work", 1)])
    with caplog.at_level(logging.ERROR, "upnext.testing"):
        await store.enqueue([new()])
    assert len(heard) == 1
    assert "mine" in caplog.text


async def test_a_gap_is_told_to_all_who_still_listen() -> None:
    store, gaps = MemoryStore(), list[str]()
    store.subscribe("a", lambda _: None, lambda: gaps.append("first"))
    gone = store.subscribe("a", lambda _: None, lambda: gaps.append("gone"))
    store.subscribe("b", lambda _: None, lambda: gaps.append("second"))
    gone.close()
    gone.close()
    store.gap()
    assert gaps == ["first", "second"]


async def test_a_heartbeat_is_kept_for_its_time() -> None:
    now = 1_000
    store = MemoryStore(clock=lambda: now)
    await store.beat("w1", b"{}", 500)
    now += 500
    assert store.workers() == {"w1": b"{}"}
    now += 1
    assert store.workers() == {}
