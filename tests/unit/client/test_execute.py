"""`worker.execute`: a task by its name, here and now."""

from __future__ import annotations

import threading
from datetime import date
from typing import Any

import anyio
import pytest

import upnext
from upnext import Worker


async def test_an_async_task_runs_on_this_loop_and_is_no_job(tasks: Worker) -> None:
    seen: list[Any] = []

    @tasks.task(name="plan", on_start=lambda: seen.append("hook"))
    async def schedule(day: date, days: int = 1) -> int:
        context = upnext.get_current_context()
        seen.append((context.function, context.root_id, threading.get_ident()))
        await anyio.lowlevel.checkpoint()
        return day.day + days

    assert await tasks.execute("plan", {"day": date(2026, 1, 2)}) == 3
    assert seen == [("plan", "", threading.get_ident())]
    with pytest.raises(RuntimeError, match="no job runs here"):
        upnext.get_current_context()


async def test_a_sync_task_does_not_block_the_loop(tasks: Worker) -> None:
    called, go_on = threading.Event(), threading.Event()

    @tasks.task
    def slow() -> str:
        called.set()
        assert go_on.wait(30), "the loop was blocked"
        return upnext.get_current_context().function

    async with anyio.create_task_group() as group:

        @group.start_soon
        async def let_go() -> None:
            await anyio.to_thread.run_sync(called.wait)
            go_on.set()

        assert await tasks.execute("slow") == "slow"


async def test_what_it_raises_comes_out_and_nothing_is_tried_again(tasks: Worker) -> None:
    runs: list[int] = []

    @tasks.task(retries=5)
    async def broken(n: int) -> None:
        runs.append(n)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await tasks.execute("broken", {"n": 1})
    with pytest.raises(TypeError, match="missing 1 required"):
        await tasks.execute("broken")
    assert runs == [1]


async def test_a_name_that_nobody_has_is_answered_with_those_there_are(tasks: Worker) -> None:
    with pytest.raises(ValueError, match="none is declared"):
        await tasks.execute("add")
    tasks.task(name="add")(lambda: None)
    tasks.task(name="multiply")(lambda: None)
    tasks.cron("@hourly", name="tick")(lambda: None)
    tasks.event("order.paid").on(name="mail")(lambda: None)
    for name in ("ad", "tick", "mail"):
        with pytest.raises(ValueError, match=f"no task '{name}' here; there are: add, multiply$"):
            await tasks.execute(name)
