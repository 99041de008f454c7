"""The life of a worker: nested task groups, and nothing else. Around it all, its lifespan.

    settlement + reporting      flusher, reporter, hatch, renewal, heartbeat   ends last
      └ ears                    canceller
          └ execution           executors and drainer, in the hard scope   drained
              └ intake          fetcher, rescuer, stager, event router, crons, in the soft
                                scope; ends first

Stopping is leaving the innermost group. Then each outer one has less and less to do, and ends:
executors finish what the inbox holds, and what their jobs wait for, which the drainer takes; the
flusher writes what the outbox holds, leases are renewed until the last result is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
from anyio.abc import TaskStatus
from attrs import define, frozen
from redis.exceptions import RedisError

from upnext.model.job import Job
from upnext.model.outcome import Ending, Outcome
from upnext.worker.execution.canceller import Canceller
from upnext.worker.execution.drainer import Drainer
from upnext.worker.execution.executor import Executor
from upnext.worker.execution.running import Running
from upnext.worker.execution.slots import Slots
from upnext.worker.intake.fetcher import Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.intake.rescuer import Rescuer
from upnext.worker.lifespan import Life
from upnext.worker.log import logger
from upnext.worker.ports import PresencePort
from upnext.worker.reporting.hatch import Hatch
from upnext.worker.reporting.heartbeat import Heartbeat
from upnext.worker.reporting.reporter import Reporter
from upnext.worker.scheduling.cron_scheduler import CronScheduler
from upnext.worker.scheduling.event_router import EventRouter
from upnext.worker.scheduling.stager import Stager
from upnext.worker.settlement.flusher import Flusher
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox
from upnext.worker.shutdown import Shutdown

UNWIND_LIMIT = 2.0
"""Seconds that a cancelled job may take to end before it is reported as stuck."""
WRITE_LIMIT = 5.0
"""Seconds after the last job in which the results must be written."""
GIVE_BACK_LIMIT = 2.0
"""Seconds for asking what a cut-off claim gave us."""


class Renewal(Protocol):
    """Whatever keeps the leases."""

    async def run(self) -> None: ...


@define(eq=False)
class Parts:
    """The stages of one worker, wired up by the composition root."""

    worker: str
    functions: list[str]
    store: PresencePort
    slots: Slots
    inbox: Inbox
    outbox: Outbox
    leases: Leases
    running: Running
    fetcher: Fetcher
    rescuer: Rescuer
    stager: Stager
    router: EventRouter
    crons: CronScheduler
    executor: Executor
    drainer: Drainer
    canceller: Canceller
    flusher: Flusher
    reporter: Reporter
    hatch: Hatch | None
    """None where no job runs in a process."""
    renewal: Renewal
    heartbeat: Heartbeat
    life: Life | None = None
    limiters: tuple[anyio.CapacityLimiter, ...] = ()
    """What bounds its threads and processes, and counts them."""


@frozen
class Report:
    """How a worker ended."""

    unwritten: int
    """Results that could not be written; those jobs are rescued and run again."""

    @property
    def clean(self) -> bool:
        return self.unwritten == 0


async def run_worker(
    parts: Parts,
    shutdown: Shutdown,
    on_stuck: Callable[[list[str]], Awaitable[None]],
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> Report:
    """Run one worker until it is told to stop.

    Args:
        parts: Its stages.
        shutdown: Its two scopes; a hard stop ends it too.
        on_stuck: Called with the names of jobs that swallowed their cancellation, once all that
            could be saved is saved. A process cannot end a task that refuses to, so this ends
            the process.
        task_status: Told when intake runs.

    Raises:
        LifespanError: The lifespan failed. What ran was drained first.
        Exception: A stage failed. What ran was drained first, unless the flusher itself failed,
            or whatever runs the jobs did.
    """
    life = parts.life
    if life is None:
        return await _run_tree(parts, shutdown, on_stuck, task_status)
    report, crash = Report(0), None
    async with anyio.create_task_group() as around:
        around.start_soon(life.run, shutdown, name="lifespan")
        with shutdown.starting:
            await life.opened.wait()
        if life.entered:
            try:
                report = await _run_tree(parts, shutdown, on_stuck, task_status)
            except Exception as error:  # it goes on its way outside the group
                crash = error
        await life.close(on_stuck)
    if (crash := crash or life.error) is not None:
        raise crash
    return report


async def _run_tree(
    parts: Parts,
    shutdown: Shutdown,
    on_stuck: Callable[[list[str]], Awaitable[None]],
    task_status: TaskStatus[None],
) -> Report:
    crashes: list[Exception] = []
    parts.running.within(shutdown.hard)
    async with anyio.create_task_group() as last:
        flushed = anyio.Event()
        last.start_soon(_flush, parts.flusher, flushed, name="flusher")
        last.start_soon(parts.reporter.run, name="reporter")
        if parts.hatch is not None:
            await last.start(parts.hatch.run, name="hatch")
        last.start_soon(parts.renewal.run, name="renewal")
        last.start_soon(parts.heartbeat.run, name="heartbeat")
        last.start_soon(_watch_unwinding, parts, shutdown, flushed, on_stuck, name="watchman")
        async with anyio.create_task_group() as ears:
            ears.start_soon(parts.canceller.run, name="canceller")
            try:
                await _execute(parts, shutdown, crashes, task_status)
                await _give_back(parts)  # a hard stop may have cut the first try off
            finally:
                _release(parts, parts.inbox.empty())
                parts.outbox.close()
            ears.cancel_scope.cancel()
        with anyio.move_on_after(WRITE_LIMIT):
            await flushed.wait()
            await _retire(parts)
        last.cancel_scope.cancel()
    report = Report(parts.outbox.statistics().queued)
    if not report.clean:
        logger.error(
            "stopped with %d results unwritten: those jobs will run again", report.unwritten
        )
    if crashes:
        raise crashes[0]
    return report


async def _execute(
    parts: Parts, shutdown: Shutdown, crashes: list[Exception], task_status: TaskStatus[None]
) -> None:
    with shutdown.hard:
        async with anyio.create_task_group() as execution:
            parts.executor.open(execution)
            try:
                await _take_in(parts, shutdown, task_status)
            except Exception as crash:
                # The edge of the intake group: what runs is drained as for a soft stop, then
                # the crash goes on its way.
                logger.exception("intake failed: draining")
                crashes.append(crash)
                shutdown.begin_drain()
            parts.inbox.close()
            await _give_back(parts)
            await parts.drainer.run()
        if execution.cancel_scope.cancel_called and not shutdown.hard.cancel_called:
            # On asyncio a task that ends as cancelled takes its group along, without an error.
            crashes.append(RuntimeError("what runs the jobs was cancelled, and nobody stopped it"))
            shutdown.begin_drain()


async def _take_in(parts: Parts, shutdown: Shutdown, task_status: TaskStatus[None]) -> None:
    with shutdown.soft:
        await parts.heartbeat.declared.wait()  # a limit holds from the first claim on
        async with anyio.create_task_group() as intake:
            intake.start_soon(parts.fetcher.run, name="fetcher")
            intake.start_soon(parts.rescuer.run, name="rescuer")
            intake.start_soon(parts.stager.run, name="stager")
            intake.start_soon(parts.router.run, name="event router")
            intake.start_soon(parts.crons.run, name="crons")
            await parts.crons.declared.wait()  # who is told of the start finds its schedules
            task_status.started()


async def _give_back(parts: Parts) -> None:
    """Hand back what a claim gave us whose reply the soft stop cut off."""
    if not parts.fetcher.unknown:
        return
    with anyio.move_on_after(GIVE_BACK_LIMIT):
        try:
            orphans = (await parts.fetcher.recover(parts.functions)).jobs
        except RedisError as error:
            logger.warning("cannot hand back the last claim, leases will run out: %s", error)
        else:
            parts.leases.add(orphans)
            _release(parts, orphans)


def _release(parts: Parts, jobs: list[Job]) -> None:
    for job in jobs:
        parts.outbox.put(Outcome(held=job.held, ending=Ending.RELEASE, reason="worker stopped"))


async def _flush(flusher: Flusher, flushed: anyio.Event) -> None:
    await flusher.run()
    flushed.set()


async def _retire(parts: Parts) -> None:
    try:
        await parts.store.retire(parts.worker, parts.functions)
    except RedisError as error:
        logger.warning("cannot sign off: %s", error)


async def _watch_unwinding(
    parts: Parts,
    shutdown: Shutdown,
    flushed: anyio.Event,
    on_stuck: Callable[[list[str]], Awaitable[None]],
) -> None:
    """End the grace, and see that a job which swallows its cancellation keeps no process."""
    await shutdown.keep_time()
    await anyio.sleep(UNWIND_LIMIT)
    stuck = parts.running.jobs()
    if not stuck:
        return
    names = parts.running.names()
    logger.error("these jobs do not end although they were cancelled: %s", ", ".join(names))
    for outcome in parts.running.outcomes():
        parts.outbox.put(outcome)  # first: the store takes one answer for a delivery
    _release(parts, [*stuck, *parts.inbox.empty()])
    parts.outbox.close()
    with anyio.move_on_after(WRITE_LIMIT):
        await flushed.wait()
    await on_stuck(names)
