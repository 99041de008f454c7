"""Crons under `run_worker`: fired by the real scheduler, in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio

import upnext
from upnext.testing import run_worker

DAY = 86_400.0
BEGIN = datetime(2024, 1, 1, 12, tzinfo=UTC)


async def test_a_month_of_daily_jobs(worker) -> None:
    """No scheduler looks unbidden here: it sleeps from one occurrence to the next."""
    times: list[datetime | None] = []

    @worker.cron("0 7 * * *")
    async def report() -> None:
        times.append(upnext.get_current_context().scheduled_at)

    async with run_worker(worker, now=BEGIN) as harness:
        await anyio.sleep(30 * DAY)
        await harness.drain()
        harness.assert_completed(report, count=30)
    assert times == [datetime(2024, 1, day, 7, tzinfo=UTC) for day in range(2, 32)]


async def test_schedules_are_changed_with_and_without_await(worker) -> None:
    @worker.task
    async def work() -> None: ...

    async with run_worker(worker, now=BEGIN) as harness:
        await upnext.schedules.add(work, "0 * * * *", name="hourly")
        await anyio.sleep(DAY + 60)
        await harness.drain()
        harness.assert_completed(work, count=24)
        upnext.schedules.pause_sync(work, "hourly")
        await anyio.sleep(DAY)
        await harness.drain()
        harness.assert_completed(work, count=24)
