"""The supervisor with children that are no processes, on a virtual clock."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest

from tests.support.actors import Company, Role
from upnext.supervision.ports import Changes
from upnext.supervision.restarts import FIRST_DELAY, START_ATTEMPTS
from upnext.supervision.supervisor import HARD_LIMIT, MARGIN, RELOAD_GRACE, Supervisor

GRACE = 20.0


def supervisor(company: Company, processes: int = 1, changes: Changes | None = None) -> Supervisor:
    return Supervisor(company, processes, GRACE, changes=changes, chance=lambda: 1.0)


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    """Run it beside the block, and to its end behind the block."""
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        yield


async def test_the_first_process_tries_it_out_before_the_others_start() -> None:
    company = Company()
    supervising = supervisor(company, 3)
    async with running(supervising):
        await anyio.sleep(5)
        assert company.times("start 1") == [0]
        assert company.times("start 2") == company.times("start 3") == [1]
        assert company.times("settle") == [1]
        supervising.stop()
    assert not supervising.failed
    assert len(company.times("stop")) == 3
    assert anyio.current_time() - company.began == pytest.approx(5.5)


async def test_one_that_dies_is_started_again_and_the_others_do_not_notice() -> None:
    company = Company({2: [Role(lives=3, code=-9), Role()]})
    supervising = supervisor(company, 3)
    async with running(supervising):
        await anyio.sleep(20)
        supervising.stop()
    assert company.times("start 2") == [1, 4 + FIRST_DELAY]
    assert company.times("start 1") == [0]
    assert company.times("start 3") == [1]
    assert not supervising.failed


async def test_one_that_keeps_dying_is_started_more_and_more_rarely() -> None:
    company = Company({1: [Role(lives=2, code=1)]})
    supervising = supervisor(company)
    async with running(supervising):
        await anyio.sleep(400)
        supervising.stop()
    starts = company.times("start")
    gaps = [round(later - earlier - 2, 2) for earlier, later in pairwise(starts)]
    assert gaps[:4] == [0.2, 0.4, 0.8, 1.6]
    assert gaps[-1] == 30.0
    assert not supervising.failed  # what it did before the signal is history


@pytest.mark.parametrize(("code", "starts"), [(1, START_ATTEMPTS), (2, 1), (-11, START_ATTEMPTS)])
async def test_a_service_that_never_starts_is_given_up(
    code: int, starts: int, caplog: pytest.LogCaptureFixture
) -> None:
    company = Company({1: [Role(ready_after=None, lives=0.5, code=code)]})
    supervising = supervisor(company, 4)
    await supervising.run()
    assert supervising.failed
    assert len(company.times("start 1")) == starts
    assert company.times("start 2") == []
    assert "giving up" in caplog.text


async def test_a_service_that_ran_is_never_given_up() -> None:
    broken = Role(ready_after=None, lives=1, code=2)
    company = Company({1: [Role(lives=5, code=1), *[broken] * 20, Role()]})
    supervising = supervisor(company)
    async with running(supervising):
        await anyio.sleep(2000)
        assert len(company.times("ready")) == 2
        supervising.stop()
    assert not supervising.failed


async def test_a_process_that_cannot_be_forked_is_tried_again() -> None:
    company = Company({1: [OSError("no room"), Role()]})
    supervising = supervisor(company)
    async with running(supervising):
        await anyio.sleep(5)
        assert len(company.times("ready")) == 1
        supervising.stop()


async def test_a_stop_waits_for_the_grace_then_insists_then_kills() -> None:
    company = Company({1: [Role(drains=1000, hands_back=1000)], 2: [Role(drains=3)]})
    supervising = supervisor(company, 2)
    async with running(supervising):
        await anyio.sleep(5)
        supervising.stop()
    assert company.times("stop 1/1") == company.times("stop 2/2") == [5]
    assert company.times("stop now") == [5 + GRACE + MARGIN]
    assert company.times("kill") == [5 + GRACE + MARGIN + HARD_LIMIT]
    assert supervising.failed


async def test_a_second_stop_insists_at_once() -> None:
    company = Company({1: [Role(drains=1000)], 2: [Role(drains=1000)]})
    supervising = supervisor(company, 2)
    async with running(supervising):
        await anyio.sleep(5)
        supervising.stop()
        await anyio.sleep(2)
        supervising.stop()
    assert company.times("stop now") == [7, 7]
    assert company.times("kill") == []
    assert not supervising.failed


async def test_a_process_that_left_something_undone_fails_the_service() -> None:
    company = Company({1: [Role(lives=5.25, code=1, drains=1000)]})
    supervising = supervisor(company)
    async with running(supervising):
        await anyio.sleep(5)
        supervising.stop()
    assert supervising.failed


async def test_a_stop_ends_the_wait_for_the_next_start() -> None:
    company = Company({1: [Role(lives=2, code=1)]})
    supervising = supervisor(company)
    async with running(supervising):
        await anyio.sleep(110)
        until = company.times("start")[-1] + 2
        assert anyio.current_time() - company.began > until  # between two starts
        supervising.stop()
    assert anyio.current_time() - company.began == pytest.approx(110)
    assert not supervising.failed


def changes_at(*times: float) -> Changes:
    async def changes() -> AsyncGenerator[str]:
        began = anyio.current_time()
        for at in times:
            await anyio.sleep_until(began + at)
            yield f"app{at:g}.py"
        await anyio.sleep_forever()

    return changes


async def test_a_change_starts_the_new_while_the_old_drains(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    company = Company({1: [Role(drains=1000, hands_back=0.5), Role()]})
    supervising = supervisor(company, 1, changes_at(10))
    async with running(supervising):
        await anyio.sleep(30)
        supervising.stop()
    assert company.times("stop 1/1") == [10]
    assert company.times("start 1/2") == [10]
    assert company.times("stop now 1/1") == [10 + RELOAD_GRACE]
    assert company.times("kill") == []
    assert company.times("begin") == [0, 10]
    assert "app10.py changed" in caplog.text
    assert not supervising.failed


async def test_code_that_cannot_start_waits_for_the_next_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Role(ready_after=None, lives=0.5, code=1)
    company = Company({1: [broken, broken, Role()]})
    supervising = supervisor(company, 2, changes_at(100, 200))
    async with running(supervising):
        await anyio.sleep(300)
        supervising.stop()
    assert company.times("start 1") == [0, 100, 200]
    assert company.times("start 2") == [201]
    assert caplog.text.count("waiting for a change") == 2
    assert not supervising.failed


async def test_a_change_before_the_first_start_is_done_begins_anew() -> None:
    company = Company({1: [Role(ready_after=8, drains=0), Role()]})
    supervising = supervisor(company, 2, changes_at(3, 3.5))
    async with running(supervising):
        await anyio.sleep(30)
        supervising.stop()
    assert company.times("start 1") == [0, 3, 3.5]
    assert company.times("start 2") == [4.5]
    assert len(company.times("ready")) == 2


async def test_a_crash_under_reload_is_started_again_without_a_change() -> None:
    company = Company({1: [Role(lives=5, code=1), Role()]})
    supervising = supervisor(company, 1, changes_at())
    async with running(supervising):
        await anyio.sleep(30)
        supervising.stop()
    assert company.times("start 1") == [0, 5 + FIRST_DELAY]
