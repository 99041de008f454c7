"""What belongs to an event loop is found by that loop, and by no other."""

from __future__ import annotations

import asyncio
import gc
import queue
import weakref

import anyio
import anyio.to_thread
import pytest
import trio
from anyio.lowlevel import checkpoint

from upnext.redis.loops import LoopVar, primitives


@pytest.fixture
def var() -> LoopVar[str]:
    return LoopVar("test")


async def test_a_value_is_there_once_it_is_set(var: LoopVar[str]) -> None:
    assert var.get() is None
    var.set("a")
    assert [var.get(), var.get()] == ["a", "a"]
    var.set("b")
    assert var.get() == "b"


async def test_another_loop_in_another_thread_has_its_own(
    var: LoopVar[str], anyio_backend_name: str
) -> None:
    async def elsewhere() -> list[str | None]:
        found = [var.get()]
        var.set("theirs")
        return [*found, var.get()]

    var.set("ours")
    assert await anyio.to_thread.run_sync(anyio.run, elsewhere) == [None, "theirs"]
    assert var.get() == "ours"
    assert await anyio.to_thread.run_sync(
        lambda: anyio.run(elsewhere, backend=anyio_backend_name)
    ) == [None, "theirs"]
    assert var.get() == "ours"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_loops_that_follow_each_other_in_one_thread(var: LoopVar[str], backend: str) -> None:
    async def look(value: str) -> list[str | None]:
        found = [var.get()]
        var.set(value)
        return [*found, var.get(), var.get()]

    for value in ("one", "two"):
        assert anyio.run(look, value, backend=backend) == [None, value, value]


def test_loops_that_take_turns_in_one_thread(var: LoopVar[str]) -> None:
    async def find() -> str | None:
        return var.get()

    async def put(value: str) -> None:
        var.set(value)

    with asyncio.Runner() as one, asyncio.Runner() as two:
        one.run(put("one"))
        two.run(put("two"))
        assert [one.run(find()), two.run(find()), one.run(find())] == ["one", "two", "one"]


def test_trio_as_the_guest_of_asyncio_has_its_own(var: LoopVar[str]) -> None:
    seen: list[str | None] = []

    async def guest() -> None:
        var.set("guest")
        for _ in range(3):
            seen.append(var.get())
            await checkpoint()

    async def host() -> None:
        var.set("host")
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda _outcome: over.set(),
        )
        while not over.is_set():
            assert var.get() == "host"
            await asyncio.sleep(0)

    asyncio.run(host())
    assert seen == ["guest"] * 3


def test_outside_of_a_loop_there_is_none(var: LoopVar[str]) -> None:
    with pytest.raises(anyio.NoEventLoopError):
        var.get()


def test_a_loop_that_is_over_is_not_kept(var: LoopVar[str]) -> None:
    gone: queue.SimpleQueue[weakref.ref[asyncio.AbstractEventLoop]] = queue.SimpleQueue()

    async def look() -> None:
        var.set("a")
        assert [var.get(), var.get()] == ["a", "a"]
        gone.put(weakref.ref(asyncio.get_running_loop()))

    asyncio.run(look())
    gc.collect()
    assert gone.get()() is None


async def test_a_bell_is_heard_however_often_it_rings() -> None:
    bell = primitives().bell()
    heard: list[int] = []

    async def listen() -> None:
        await bell.wait()
        heard.append(1)

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        assert heard == []
        bell.set()
        bell.set()
    assert heard == [1]


async def test_a_bell_may_ring_for_somebody_who_left() -> None:
    bell = primitives().bell()
    with anyio.move_on_after(0):
        await bell.wait()
    bell.set()


async def test_a_turn_lets_others_run_and_can_be_cancelled() -> None:
    turn, ran = primitives().turn, list[int]()

    async def other() -> None:
        ran.append(1)

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        await turn()
        await turn()  # Trio draws who is first among those who can run
        assert ran == [1]
        group.cancel_scope.cancel()
        for _ in range(3):
            await turn()
        pytest.fail("nothing was cancelled")


async def test_a_scope_ends_by_the_loops_clock() -> None:
    loop = primitives()
    before = anyio.current_time()
    now = loop.time()
    assert before <= now <= anyio.current_time()
    with loop.scope(deadline=now + 0.01) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("arrived", [True, False])
async def test_a_task_goes_on_though_it_was_asked_to_end(arrived: bool) -> None:
    loop, task = primitives(), asyncio.current_task()
    assert task is not None
    assert loop.cancels() == 0
    for _ in range(2):
        task.cancel()
    if arrived:
        with pytest.raises(asyncio.CancelledError):
            await checkpoint()
    assert loop.cancels() == 2
    assert await loop.persist(0) is not arrived
    assert loop.cancels() == 0
    await checkpoint()


async def test_what_scopes_ask_for_is_not_counted_once_they_are_left() -> None:
    loop = primitives()
    with loop.scope() as scope:
        scope.cancel()
        await checkpoint()
    assert loop.cancels() == 0
    assert not await loop.persist(0)
