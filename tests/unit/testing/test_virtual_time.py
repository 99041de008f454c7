"""Virtual time jumps over idleness, and over nothing else."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
from trio.testing import MockClock

import upnext.testing
from upnext.testing.virtual_time import has_virtual_time

BACKENDS = ("asyncio", "trio")


@pytest.mark.parametrize("backend", BACKENDS)
def test_timers_fire_in_order_and_on_time(backend) -> None:
    async def main(factor: int) -> list[tuple[float, float]]:
        fired: list[tuple[float, float]] = []
        began = anyio.current_time()

        async def timer(seconds: float) -> None:
            await anyio.sleep(seconds)
            fired.append((seconds, anyio.current_time() - began))

        async with anyio.create_task_group() as group:
            for seconds in (3, 1, 2):
                group.start_soon(timer, seconds * factor)
        assert has_virtual_time()
        return fired

    year = 365 * 86_400
    fired = upnext.testing.run(main, year, backend=backend)
    assert [seconds for seconds, _ in fired] == [year, 2 * year, 3 * year]
    assert [at for _, at in fired] == pytest.approx([year, 2 * year, 3 * year])


@pytest.mark.parametrize("backend", BACKENDS)
def test_short_timers_fire_late_in_a_long_life(backend) -> None:
    """A float of many seconds holds no nanoseconds."""

    async def main() -> int:
        await anyio.sleep(400 * 86_400)
        for _ in range(100):
            await anyio.sleep(0.001)
        with anyio.move_on_after(0.001):
            await anyio.sleep_forever()
        return 1

    assert upnext.testing.run(main, backend=backend) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_real_time_is_what_it_says(backend) -> None:
    async def main() -> float:
        waiting = threading.Event()
        began = anyio.current_time()
        threading.Timer(0.05, waiting.set).start()
        with anyio.move_on_after(3600):
            await anyio.to_thread.run_sync(waiting.wait, 10)
            with upnext.testing.real_time():
                await anyio.sleep(0.05)
        return anyio.current_time() - began

    assert 0.05 <= upnext.testing.run(main, backend=backend) < 60


def test_executors_of_asyncio_are_waited_for() -> None:
    async def main() -> bool:
        waiting = threading.Event()
        threading.Timer(0.05, waiting.set).start()
        with anyio.fail_after(3600):
            return await asyncio.to_thread(waiting.wait, 10)

    assert upnext.testing.run(main) is True


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_usual_loop_has_real_time(backend) -> None:
    async def main() -> None:
        assert not has_virtual_time()
        with upnext.testing.real_time():
            await anyio.lowlevel.checkpoint()

    anyio.run(main, backend=backend)


def test_trios_own_clock_will_do() -> None:
    async def main(virtual: bool) -> None:
        assert has_virtual_time() is virtual

    trio.run(main, True, clock=MockClock(autojump_threshold=0))
    trio.run(main, False, clock=MockClock(rate=1))


def test_there_are_two_backends() -> None:
    with pytest.raises(ValueError, match="'asyncio' or 'trio'"):
        upnext.testing.virtual_backend("curio")
