"""Three worker processes keep to one limit, and use all of it.

`UPNEXT_LIMITS_SCALE=full` runs the figures of the documentation; the suite runs smaller ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import upnext
from tests.support import limited
from tests.support.limited import Lines
from tests.support.servers import RedisServer
from tests.support.workers import workers
from upnext.client.connect import connect

FULL = os.environ.get("UPNEXT_LIMITS_SCALE") == "full"
pytestmark = pytest.mark.hard_limit(300 if FULL else 60)


@pytest.fixture
def anyio_backend() -> str:
    """That of the client here; the workers' is their own."""
    return "asyncio"


@pytest.fixture(scope="module")
def lines(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    """What the tasks of three worker processes write."""
    redis_server.flush()
    path = tmp_path_factory.mktemp("limits") / "lines"
    path.touch()
    with (
        pytest.MonkeyPatch.context() as patch,
        workers(redis_server.url, path, program=Path(limited.__file__)) as start,
    ):
        patch.setattr(limited.worker, "redis_url", redis_server.url)
        for process in [start(ready=False) for _ in range(3)]:
            process.wait_for("started as")
        yield Lines(path)


async def test_max_concurrency_is_never_exceeded_and_fully_used(lines: Lines) -> None:
    count, seconds = (5_000, 0.05) if FULL else (200, 0.1)
    futures = await upnext.submit_many(limited.few, [{"seconds": seconds}] * count)
    with anyio.fail_after(250):
        await upnext.gather(*futures)
    most, average = lines.at_once("few")
    print(f"max_concurrency=7, {count} jobs: most {most}, average {average:.2f}")
    assert len(lines.of("few")) == 2 * count
    assert most == 7
    assert average > 5.0


async def test_a_rate_is_kept_over_time(lines: Lines) -> None:
    seconds = 10 if FULL else 3
    futures = await upnext.submit_many(limited.steady, [{}] * (200 * (seconds + 3)))
    with anyio.fail_after(60):
        await upnext.gather(*futures)
    store = (await connect(limited.worker.redis_url)).store
    records = [await store.lookup(future.job_id) for future in futures]
    claims = sorted(record.claimed_at or 0 for record in records if record is not None)
    for first in range(0, len(claims), 50):
        for last in range(first, len(claims)):  # however slow or fast the machine is
            assert last - first + 1 <= 200 + (claims[last] - claims[first]) * 200 // 1000
    starts = [at for at, _, _ in lines.of("steady")]
    begin = starts[0] + 1.5  # the bucket is full at first: those 200 are over by then
    within = sum(begin <= at < begin + seconds for at in starts)
    print(f"rate_limit=200/s: {within} starts in {seconds} s, {within / seconds:.1f}/s")
    if FULL:
        assert abs(within - 200 * seconds) <= 0.02 * 200 * seconds


async def test_one_job_of_a_small_tenant_does_not_wait_for_a_big_one(lines: Lines) -> None:
    count = 50_000 if FULL else 3_000
    many = [{"tenant": "big", "seconds": 0.0}] * count
    for begin in range(0, count, 10_000):
        await upnext.submit_many(limited.shared, many[begin : begin + 10_000])
    with anyio.fail_after(30):
        began = anyio.current_time()
        await limited.shared.wait("small", 0.0)
        waited = anyio.current_time() - began
    done = len(lines.of("shared"))
    print(f"{count} of another tenant, {done} of them started: waited {waited * 1000:.0f} ms")
    assert waited < 1.0
    assert done < count


async def test_a_group_is_held_to_one_number_across_functions_and_processes(lines: Lines) -> None:
    count = 500 if FULL else 50
    one = await upnext.submit_many(limited.one_api, [{"seconds": 0.1}] * count)
    other = await upnext.submit_many(limited.other_api, [{"seconds": 0.1}] * count)
    with anyio.fail_after(100):
        await upnext.gather(*one, *other)
    most, average = lines.at_once("group")
    print(f"group_max_concurrency=5, {2 * count} jobs: most {most}, average {average:.2f}")
    assert most == 5
    assert average > 2.5


async def test_a_paused_task_waits_and_goes_on(lines: Lines) -> None:
    await limited.shared.wait("before", 0.0)
    await upnext.pause(limited.worker)
    assert set(await upnext.paused(limited.worker)) == set(limited.worker.tasks)
    futures = await upnext.submit_many(
        limited.shared, [{"tenant": f"t{n}", "seconds": 0.0} for n in range(20)]
    )
    with anyio.move_on_after(1.0) as waited:
        await upnext.first_completed(*futures)
    assert waited.cancelled_caught
    assert await upnext.resume(limited.worker) == len(limited.worker.tasks)
    with anyio.fail_after(10):
        await upnext.gather(*futures)
    await upnext.pause(limited.shared, until=0.5)
    with anyio.fail_after(10):
        began = anyio.current_time()
        await limited.shared.wait("after", 0.0)
    assert 0.4 < anyio.current_time() - began < 1.5
