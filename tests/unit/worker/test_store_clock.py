from __future__ import annotations

from math import inf

import anyio

from upnext.worker.store_clock import StoreClock


async def test_it_translates_between_the_stores_time_and_the_loops() -> None:
    clock = StoreClock()
    clock.set(1_000_000)
    now = anyio.current_time()
    assert round(clock.store_time(anyio.current_time()) * 1000) == 1_000_000
    assert clock.loop_time(1_002_500) - now == 2.5
    await anyio.sleep(3)
    assert round(clock.store_time(anyio.current_time()) * 1000) == 1_003_000
    assert clock.loop_time(1_002_500) - now == 2.5


def test_before_the_store_spoke_no_deadline_passes() -> None:
    assert StoreClock().loop_time(1) == inf


async def test_it_starts_with_a_time_that_is_about_right() -> None:
    clock = StoreClock()
    clock.start(1_000_000)
    now = anyio.current_time()
    assert clock.loop_time(1_000_000) == now
    clock.start(999_000)
    assert clock.loop_time(1_000_000) == now
    clock.set(999_000)
    assert clock.loop_time(1_000_000) == now + 1
