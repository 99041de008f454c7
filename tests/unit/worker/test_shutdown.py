from __future__ import annotations

from math import inf

import anyio
from anyio.lowlevel import checkpoint

from upnext.worker.shutdown import Shutdown


async def run(shutdown: Shutdown, ended: list[str]) -> None:
    with shutdown.hard:
        with shutdown.soft:
            await anyio.sleep_forever()
        ended.append("soft")
        await anyio.sleep_forever()
    ended.append("hard")


async def test_the_first_stop_is_soft_and_the_second_is_hard() -> None:
    shutdown, ended = Shutdown(30), []
    async with anyio.create_task_group() as group:
        group.start_soon(run, shutdown, ended)
        await checkpoint()
        assert not shutdown.draining
        shutdown.stop()
        await anyio.sleep(10)
        assert shutdown.draining
        assert ended == ["soft"]
        shutdown.stop()
    assert ended == ["soft", "hard"]


async def test_the_grace_ends_what_a_soft_stop_leaves() -> None:
    shutdown, ended = Shutdown(30), []
    began = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(shutdown.keep_time)
        group.start_soon(run, shutdown, ended)
        await anyio.sleep(1)
        shutdown.begin_drain()
        await anyio.sleep(5)
        shutdown.begin_drain()  # asking again gives no more time
    assert anyio.current_time() - began == 31


async def test_both_work_before_anything_runs() -> None:
    shutdown, ended = Shutdown(30), []
    shutdown.stop_now()
    await run(shutdown, ended)
    assert ended == ["hard"]


async def test_the_beginning_of_the_hard_stop_is_told() -> None:
    for hard_after, grace in ((3, 30), (None, 7)):
        shutdown = Shutdown(grace)
        began = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(shutdown.keep_time)
            await checkpoint()
            shutdown.stop()
            if hard_after is not None:
                await anyio.sleep(hard_after)
                shutdown.stop()
        assert anyio.current_time() - began == (hard_after or grace)


async def test_the_grace_is_no_deadline_of_what_runs() -> None:
    shutdown, seen = Shutdown(30), list[float]()
    async with anyio.create_task_group() as group:
        group.start_soon(shutdown.keep_time)
        with shutdown.hard:
            shutdown.stop()
            seen.append(anyio.current_effective_deadline())
        shutdown.stop()
    assert seen == [inf]
