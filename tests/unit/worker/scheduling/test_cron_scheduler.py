"""Schedulers that race, die, and hear of changes, on one store in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve

from tests.support.crons import KEYS, Watched
from tests.support.tree import running, until
from upnext.client.connect import bind
from upnext.client.cron_declarations import CronDeclarations
from upnext.client.schedules import schedules
from upnext.model.schedule import Fired, Firing
from upnext.tasks.context import get_current_context
from upnext.worker.scheduling.cron_scheduler import RETRY_INTERVAL, SWEEP_INTERVAL, CronScheduler
from upnext.worker.store_clock import StoreClock
from upnext.worker.worker import Worker

SECOND = "* * * * * *"


def declares(schedule: str | None = SECOND, name: str = "tick", **options: Any) -> CronDeclarations:
    worker = CronDeclarations()
    if schedule is None:
        worker.task(name=name)(lambda: None)
    else:
        worker.cron(schedule, name=name, **options)(lambda: None)
    return worker


def scheduler(
    store: Watched, worker: CronDeclarations | None = None, *, deaf: bool = False
) -> CronScheduler:
    """A scheduler that hears of the schedules of its functions, as a worker's canceller does."""
    worker = worker or declares()
    definitions = {definition.name: definition for definition in worker.registry}
    made = CronScheduler(store, "w", definitions, StoreClock())
    for name in () if deaf else definitions:

        def hear(payload: bytes, name: str = name) -> None:
            if payload.startswith(b"cron"):
                made.hear(name, payload)

        store.inner.subscribe(KEYS.due_channel(name), hear, made.note_all)
    return made


async def run(seconds: float, *schedulers: CronScheduler) -> None:
    async with anyio.create_task_group() as group:
        for one in schedulers:
            group.start_soon(one.run)
        await anyio.sleep(seconds)
        group.cancel_scope.cancel()


def is_gapless(instants: list[int]) -> bool:
    return instants == list(range(instants[0], instants[0] + len(instants)))


async def test_one_scheduler_makes_each_occurrence_when_it_is_due() -> None:
    store = Watched()
    late: list[float] = []
    inner = store.inner.fire

    async def fire(firings: Sequence[Firing]) -> list[Fired]:
        now = await store.inner.now()
        late.extend(now - firing.expected for firing in firings)
        return await inner(firings)

    store.inner.fire = fire  # pyright: ignore[reportAttributeAccessIssue]
    await run(60.5, scheduler(store))
    assert len(store.instants()) in (60, 61)
    assert is_gapless(store.instants())
    assert max(late) <= 2, "milliseconds"
    assert store.calls.count("fire") == len(store.instants())


async def test_racing_schedulers_make_each_once_and_mostly_one_asks() -> None:
    store = Watched()
    await run(120, *(scheduler(store) for _ in range(8)))
    instants = store.instants()
    assert len(instants) in (120, 121)
    assert is_gapless(instants)
    assert store.verdicts["fired"] == len(instants)
    # All ask at first; then the one that was faster goes first, and the others hear of it.
    assert store.calls.count("fire") <= len(instants) + 2 * 8


async def test_racing_schedulers_that_hear_nothing_make_each_once() -> None:
    store = Watched()
    await run(60, *(scheduler(store, deaf=True) for _ in range(4)))
    assert len(store.instants()) in (60, 61)
    assert is_gapless(store.instants())
    assert store.verdicts["moved"] > 60


async def test_when_one_dies_another_fills_in_at_once() -> None:
    store = Watched()
    scopes: list[anyio.CancelScope] = []

    async def live(one: CronScheduler, scope: anyio.CancelScope) -> None:
        with scope:
            await one.run()

    async with anyio.create_task_group() as group:
        for _ in range(4):
            scopes.append(anyio.CancelScope())
            group.start_soon(live, scheduler(store), scopes[-1])
        for scope in scopes:
            await anyio.sleep(20)
            scope.cancel()
    instants = store.instants()
    assert len(instants) in (80, 81)
    assert is_gapless(instants)


async def test_a_scheduler_that_dies_after_it_asked_loses_and_doubles_nothing() -> None:
    store = Watched()
    asked = anyio.Event()
    scope = anyio.CancelScope()
    inner = store.inner.fire

    async def fire(firings: Sequence[Firing]) -> list[Fired]:
        answers = await inner(firings)
        if len(store.instants()) == 5 and not asked.is_set():
            asked.set()
            scope.cancel()
            await anyio.lowlevel.checkpoint()  # the answer never arrives
        return answers

    store.inner.fire = fire  # pyright: ignore[reportAttributeAccessIssue]
    with scope:
        await scheduler(store).run()
    await run(10, scheduler(store))
    assert asked.is_set()
    assert len(store.instants()) in (14, 15)
    assert is_gapless(store.instants())


async def test_a_worker_without_crons_asks_once_and_never_again() -> None:
    store = Watched()
    await run(3 * SWEEP_INTERVAL, scheduler(store, declares(None)))
    assert store.calls == ["scheduled_functions"]


async def test_a_worker_with_a_weekly_cron_is_quiet_for_a_week() -> None:
    store = Watched()
    await run(7 * 86_400 + 60, scheduler(store, declares("@weekly")))
    assert len(store.instants()) == 1
    sweeps = 7 * 86_400 / SWEEP_INTERVAL
    assert store.calls.count("fire") == 1
    assert sweeps - 10 < store.calls.count("schedules") < sweeps + 10


async def test_a_schedule_that_is_added_is_heard_of_by_a_worker_that_had_none() -> None:
    store = Watched()
    worker = declares(None)
    task = worker.tasks["tick"]
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler(store, worker).run)
        await anyio.sleep(10)
        with bind(store.inner):
            await schedules.add(task, SECOND, name="mine")
            await anyio.sleep(5)
            assert len(store.instants()) in (4, 5)
            await schedules.change(task, "mine", schedule="*/10 * * * * *")
            made = len(store.instants())
            await anyio.sleep(30)
            assert len(store.instants()) == made + 3
            await schedules.pause(task, "mine")
            await anyio.sleep(30)
            assert len(store.instants()) == made + 3
            await schedules.resume(task, "mine")
            await anyio.sleep(30)
            assert len(store.instants()) == made + 6
            await schedules.remove(task, "mine")
            await anyio.sleep(30)
            assert len(store.instants()) == made + 6
        group.cancel_scope.cancel()


async def test_a_lost_message_is_made_up_for_by_the_sweep() -> None:
    store = Watched()
    worker = declares("@yearly")
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler(store, worker, deaf=True).run)
        await anyio.sleep(1)
        with bind(store.inner):
            await schedules.change("tick", schedule=SECOND)
        await anyio.sleep(SWEEP_INTERVAL + 5)
        assert store.instants()
        group.cancel_scope.cancel()


async def test_after_a_gap_in_the_messages_it_looks_at_once() -> None:
    store = Watched()
    worker = declares(None)
    one = scheduler(store, worker, deaf=True)
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        await anyio.sleep(1)
        with bind(store.inner):
            await schedules.add(worker.tasks["tick"], SECOND)
        await anyio.sleep(5)
        assert not store.instants()
        one.note_all()
        await anyio.sleep(2)
        assert store.instants()
        group.cancel_scope.cancel()


async def test_the_newest_declaration_counts_for_workers_of_both_releases() -> None:
    store = Watched()
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler(store, declares(SECOND)).run)
        await anyio.sleep(5)
        before = len(store.instants())
        group.start_soon(scheduler(store, declares("*/10 * * * * *")).run)
        await anyio.sleep(60)
        assert len(store.instants()) - before in (6, 7)
        group.cancel_scope.cancel()


async def test_a_cron_that_became_a_task_stops_when_such_a_worker_starts() -> None:
    store = Watched()
    async with anyio.create_task_group() as group:
        old = scheduler(store, declares(SECOND))
        group.start_soon(old.run)
        await anyio.sleep(5)
        group.start_soon(scheduler(store, declares(None)).run)
        await anyio.sleep(1)
        before = len(store.instants())
        old.note_lost()  # one that runs on does not bring it back
        await anyio.sleep(30)
        assert len(store.instants()) == before
        group.start_soon(scheduler(store, declares(SECOND)).run)  # one that starts does
        await anyio.sleep(10)
        assert len(store.instants()) > before
        group.cancel_scope.cancel()


async def test_a_task_that_becomes_a_cron_is_not_taken_back_by_those_who_run_on() -> None:
    store = Watched()
    async with anyio.create_task_group() as group:
        group.start_soon(scheduler(store, declares(None)).run)
        await anyio.sleep(5)
        group.start_soon(scheduler(store, declares(SECOND)).run)
        await anyio.sleep(30)
        assert len(store.instants()) in (29, 30)
        group.cancel_scope.cancel()


async def test_what_a_store_lost_is_declared_again() -> None:
    store = Watched()
    one = scheduler(store)
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        await anyio.sleep(5)
        store.inner.queues.clear()
        await anyio.sleep(5)
        assert not store.instants()
        one.note_lost()
        await anyio.sleep(5)
        assert len(store.instants()) in (4, 5)
        group.cancel_scope.cancel()


async def test_what_the_broker_refuses_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    store.refuses = 3
    await run(10 * RETRY_INTERVAL, scheduler(store))
    assert store.instants()
    assert caplog.text.count("OOM") == 3

    store.refuses = 2
    one = scheduler(store)
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        await anyio.sleep(5)
        before = len(store.instants())
        store.refuses = 4
        await anyio.sleep(10)
        assert len(store.instants()) >= before + 9, "late, but none is missing"
        group.cancel_scope.cancel()
    assert is_gapless(store.instants()[before - 3 :])


async def test_an_outage_is_gone_over_as_the_policy_says() -> None:
    for policy, made in (("latest_only", 1), ("catch_up", 3600), ("skip", 10)):
        store = Watched()
        worker = declares(SECOND, missed_run_policy=policy)
        await run(2.5, scheduler(store, worker))
        before = len(store.instants())
        await anyio.sleep(3600)
        await run(0.1, scheduler(store, worker))
        assert abs(len(store.instants()) - before - made) <= 1, policy


async def test_a_schedule_that_this_release_cannot_use_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Watched()
    worker = declares(SECOND)
    one = scheduler(store, worker)
    queue = store.inner.queues
    async with anyio.create_task_group() as group:
        group.start_soon(one.run)
        await anyio.sleep(1.5)
        prefix = KEYS.function("tick")
        broken = queue[prefix].schedules["tick"]
        queue[prefix].schedules["tick"] = evolve(
            broken, plan_text=b'{"expression":"* * * * *","timezone":"Mars/Olympus"}'
        )
        one.note_all()
        await anyio.sleep(3 * SWEEP_INTERVAL)
        group.cancel_scope.cancel()
    assert caplog.text.count("cannot be used by this worker") == 1


async def test_a_full_queue_holds_occurrences_up(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    store.inner.bounds = evolve(store.inner.bounds, most_waiting=2)
    await run(20, scheduler(store))
    assert len(store.instants()) == 2
    assert "is full" in caplog.text
    assert store.calls.count("fire") < 15


async def test_a_whole_worker_runs_its_crons_and_jobs_know_their_time() -> None:
    worker = Worker("w", concurrency=4)
    seen: list[tuple[float | None, int, str]] = []

    @worker.cron("*/2 * * * * *", arguments={"word": "hello"}, retries=1, retry_delay=0.1)
    async def tick(word: str) -> None:
        context = get_current_context()
        at = context.scheduled_at
        seen.append((at and at.timestamp(), context.attempt, word))
        if context.attempt == 1:
            raise ValueError("once")

    async with running(worker) as tree:
        await until(lambda: len(seen) >= 10)
        by_hand = await tick.submit(word="by hand")
        assert (await tree.end_of(by_hand)).status == "complete"
        await tree.stop()
    assert [(at, word) for at, _, word in seen if word == "by hand"] == [(None, "by hand")] * 2
    first = seen[0][0]
    assert first is not None
    for number in (1, 2):
        instants = [at for at, attempt, word in seen if attempt == number and word == "hello"]
        assert instants[:5] == [first + 2 * n for n in range(5)]


async def test_a_whole_worker_hears_of_schedules_and_survives_the_loss_of_data() -> None:
    worker = Worker("w")
    ran: list[str] = []

    @worker.task
    async def by_hand() -> None:
        ran.append("by_hand")

    @worker.cron(SECOND)
    async def declared() -> None:
        ran.append("declared")

    async with running(worker) as tree:
        await until(lambda: "declared" in ran)
        await schedules.add(by_hand, SECOND)
        await until(lambda: "by_hand" in ran)
        await schedules.pause(declared)
        await schedules.pause(by_hand)
        await anyio.sleep(5)
        ran.clear()
        await anyio.sleep(60)
        assert ran == []
        tree.store.queues.clear()
        tree.store._beats.clear()
        await until(lambda: len(ran) > 3)
        assert set(ran) == {"declared"}, "what was added at run time is lost with the data"
        await tree.stop()
