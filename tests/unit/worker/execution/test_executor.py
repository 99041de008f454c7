"""Executors and attempts, cancelled wherever that is possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.support.cancel import cancel_everywhere
from tests.support.claimed import a_job
from upnext.model.job import Job
from upnext.model.outcome import Ending, Outcome, Settled
from upnext.tasks.definition import TaskDefinition
from upnext.testing.memory import MemoryStore
from upnext.worker.execution.around import around
from upnext.worker.execution.attempt import Attempt
from upnext.worker.execution.executor import Executor
from upnext.worker.execution.hook_calls import HookCalls
from upnext.worker.execution.invoke import in_loop
from upnext.worker.execution.running import Running
from upnext.worker.execution.slots import SlotHolder, Slots
from upnext.worker.execution.unwinding import Unwinding
from upnext.worker.intake.inbox import Inbox
from upnext.worker.settlement.outbox import Outbox
from upnext.worker.settlement.receipts import Receipts
from upnext.worker.store_clock import StoreClock


async def function() -> int:
    await checkpoint()
    return 1


async def hook() -> None:
    await checkpoint()


def an_attempt(**options: Any) -> Attempt:
    clock = StoreClock()
    clock.set(0)
    definition = TaskDefinition(**{"function": function, "name": "work", **options})
    hooks = HookCalls(definition, anyio.CapacityLimiter(1), Receipts())
    unwinding = Unwinding(MemoryStore(), "ear")
    return Attempt(
        definition, around(in_loop, hooks=hooks), Running(), clock, unwinding, hooks=hooks
    )


class Stage:
    """One executor with all it needs."""

    def __init__(self, concurrency: int = 1, outbox_size: int = 100, **options: Any) -> None:
        self.slots = Slots(concurrency, 10)
        self.inbox = Inbox(self.slots, 100)
        self.outbox = Outbox(outbox_size)
        self.attempt = an_attempt(**options)
        self.executor = Executor(self.inbox, self.outbox, self.slots, {"work": self.attempt})

    async def run(self, jobs: list[Job]) -> None:
        self.inbox.deliver(jobs, 0)
        async with anyio.create_task_group() as group:
            self.executor.open(group)
            self.inbox.close()

    def is_clean(self) -> None:
        slots = self.slots.statistics()
        assert (slots.free, slots.lent, slots.returning) == (slots.concurrency, 0, 0)
        assert self.inbox.statistics().idle_executors == 0
        assert self.attempt.running.statistics().running == 0


async def test_every_job_is_run_and_settled() -> None:
    stage, jobs = Stage(concurrency=2), [a_job() for _ in range(5)]
    await stage.run(jobs)
    outcomes = stage.outbox.take(10)
    assert {outcome.held.id for outcome in outcomes} == {job.id for job in jobs}
    assert {outcome.ending for outcome in outcomes} == {Ending.COMPLETE}
    stage.is_clean()


async def test_nothing_is_started_while_the_outbox_is_full() -> None:
    stage = Stage(outbox_size=1)
    async with anyio.create_task_group() as group:
        group.start_soon(stage.run, [a_job(), a_job()])
        await anyio.sleep(1)
        assert len(stage.outbox.take(10)) == 1
        await anyio.sleep(1)
        assert len(stage.outbox.take(10)) == 1
    stage.is_clean()


@pytest.mark.parametrize("hooks", [{}, {"on_start": hook, "on_success": hook}])
async def test_wherever_it_is_cancelled_every_job_is_settled_once_or_still_waits(
    hooks: dict[str, Any],
) -> None:
    stages: list[tuple[Stage, list[Job]]] = []

    async def run() -> None:
        stage, jobs = Stage(outbox_size=2, **hooks), [a_job() for _ in range(3)]
        stages.append((stage, jobs))
        async with anyio.create_task_group() as group:
            group.start_soon(empty_later, stage)
            stage.inbox.deliver(jobs, 0)
            stage.inbox.close()
            stage.executor._group = group  # pyright: ignore[reportPrivateUsage]
            stage.slots.connect(stage.inbox.stir, lambda lent: None)
            await stage.executor._work()  # pyright: ignore[reportPrivateUsage]

    settled: list[Outcome] = []

    async def empty_later(stage: Stage) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)
            settled.extend(stage.outbox.take(10))

    endings: set[Ending] = set()
    async for _ in cancel_everywhere(run):
        stage, jobs = stages.pop()
        settled.extend(stage.outbox.take(10))
        endings |= {outcome.ending for outcome in settled}
        seen = [outcome.held.id for outcome in settled]
        seen += [job.id for job in stage.inbox.empty()]
        assert sorted(seen) == sorted(job.id for job in jobs)
        stage.is_clean()
        settled.clear()
    assert endings == {Ending.COMPLETE, Ending.RELEASE}


async def test_hooks_cancelled_anywhere_leave_one_outcome() -> None:
    """`on_complete` included: it comes once the outcome is written, if it comes at all."""
    endings: list[Ending] = []
    completed: list[bool] = []

    async def complete() -> None:
        completed.append(bool(endings))
        await checkpoint()

    attempt = an_attempt(on_start=hook, on_success=hook, on_complete=complete)
    assert attempt.hooks is not None
    receipts = attempt.hooks.receipts

    def settle(outcome: Outcome) -> None:
        endings.append(outcome.ending)
        receipts.tell(outcome.held, Settled.APPLIED)

    seen: set[tuple[Ending, bool]] = set()

    async def run() -> None:
        slots = Slots(1, 1)
        slots.take()
        await attempt.run(a_job(), SlotHolder(slots, "work"), settle)

    async for _ in cancel_everywhere(run):
        (ending,) = endings
        assert completed in ([], [True])
        seen.add((ending, bool(completed)))
        assert attempt.running.statistics().running == 0
        assert len(receipts) == 0
        endings.clear()
        completed.clear()
    assert seen == {
        (Ending.RELEASE, False),
        (Ending.COMPLETE, False),
        (Ending.COMPLETE, True),
    }


@pytest.mark.parametrize("fails", [True, False])
async def test_middleware_cancelled_anywhere_is_left(fails: bool) -> None:
    entered: list[int] = []
    endings: list[Ending] = []

    async def one(context: Any) -> AsyncIterator[None]:
        entered.append(1)
        try:
            await checkpoint()
            yield
        finally:
            entered.pop()
            with anyio.CancelScope(shield=True):
                await checkpoint()

    async def function() -> None:
        await checkpoint()
        if fails:
            raise ValueError

    attempt = an_attempt(function=function)
    attempt.invoke = around(attempt.invoke, middleware=(one, one))

    async def run() -> None:
        slots = Slots(1, 1)
        slots.take()
        await attempt.run(a_job(), SlotHolder(slots, "w"), lambda out: endings.append(out.ending))

    seen: set[Ending] = set()
    async for _ in cancel_everywhere(run):
        (ending,) = endings
        seen.add(ending)
        assert entered == []
        endings.clear()
    assert seen == {Ending.RELEASE, Ending.FAILED if fails else Ending.COMPLETE}


async def test_what_a_function_left_behind_when_a_hook_is_cancelled_counts() -> None:
    endings: list[Ending] = []

    async def stop(context: Any) -> None:
        scope.cancel()
        await checkpoint()

    with anyio.CancelScope() as scope:
        attempt = an_attempt(on_success=stop)
        slots = Slots(1, 1)
        slots.take()
        job = a_job()
        await attempt.run(job, SlotHolder(slots, job.id), lambda one: endings.append(one.ending))
    assert scope.cancelled_caught
    assert endings == [Ending.COMPLETE]


async def test_a_job_sees_itself() -> None:
    from upnext import get_current_context

    seen: list[Any] = []

    async def look() -> None:
        seen.append(get_current_context())

    stage = Stage(function=look, retries=2, timeout=9)
    job = a_job(attempt=2, key="k", deadline=60_000, parent_id="p", root_id="r")
    alone = a_job()
    await stage.run([job, alone])
    first, second = seen
    assert (first.job_id, first.job_key, first.attempt) == (job.id, "k", 2)
    assert (first.max_attempts, first.timeout, first.deadline) == (3, 9, 60_000)
    assert (first.parent_id, first.root_id) == ("p", "r")
    assert (first.function, first.function_name) == (job.function, job.function)
    assert (second.parent_id, second.root_id) == (None, alone.id)
    with pytest.raises(RuntimeError):
        get_current_context()


async def test_a_job_whose_deadline_has_passed_is_not_started() -> None:
    stage = Stage()
    await anyio.sleep(10)
    await stage.run([a_job(deadline=9_000)])
    [outcome] = stage.outbox.take(10)
    assert outcome.ending is Ending.EXPIRED
