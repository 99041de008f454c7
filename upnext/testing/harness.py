"""A whole worker for one test: the real tree of tasks, on a queue in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus
from attrs import define, evolve, field, fields

from upnext.client.connect import bind, bounds_of
from upnext.errors import ConfigurationError
from upnext.model.status import JobStatus
from upnext.settings import QueueSettings, Settings
from upnext.testing.jobs import Jobs
from upnext.testing.kept import AtOnce, KeptStore
from upnext.testing.outside import OutsideCall
from upnext.testing.submitted import SubmittedJob
from upnext.testing.virtual_time import has_virtual_time, outside_of_loop
from upnext.worker.compose import compose_worker
from upnext.worker.queue_config import SyncExecutor
from upnext.worker.shutdown import Shutdown
from upnext.worker.supervisor import Parts
from upnext.worker.supervisor import run_worker as run_tree
from upnext.worker.worker import Worker

__all__ = ["Harness", "run_worker"]

QUIET = 20 * 365 * 86_400.0
"""Seconds between two looks at what can never be lost here: messages, leases, heartbeats."""
LONGEST_TEST = 10 * 365 * 86_400.0
"""Seconds of virtual time after which a test that still waits will wait for ever."""
PATIENCE = 10.0
"""Seconds of real time that `drain` waits for jobs."""
_TURNS = 50
"""Turns of the event loop in which whatever a finished job set off has become a job itself."""


class Clock:
    """The queue's clock: that of the event loop, from a moment on, and ahead by what was skipped.

    Times are Unix milliseconds.
    """

    def __init__(self, start: datetime | None) -> None:
        began = time.time() if start is None else start.timestamp()
        self._offset = began - anyio.current_time()

    def __call__(self) -> int:
        """The time now. Call it inside the event loop."""
        return round((self._offset + anyio.current_time()) * 1000)

    def skip_to(self, moment: int) -> None:
        """Let it be at least this late at once."""
        self._offset += max(0, moment - self()) / 1000


class Harness(Jobs):
    """Workers that run while a test lasts, and all that was submitted to them.

    Attributes:
        store: The queue, a `MemoryStore`.
        workers: The ids of the workers that run, by name.
    """

    def __init__(self, store: KeptStore, clock: Clock) -> None:
        super().__init__(store)
        self.workers: dict[str, str] = {}
        self._clock = clock
        self._virtual = has_virtual_time()
        self._changed = anyio.Event()
        store.on_change = self._note

    def now(self) -> datetime:
        """The time by the queue's clock, in UTC."""
        return datetime.fromtimestamp(self._clock() / 1000, UTC)

    def unfinished(self) -> list[SubmittedJob]:
        """The jobs of these workers that are not over, oldest first."""
        mine = {job.id for job in self.store.unfinished.values() if self._runs(job.function)}
        return [job for job in self.enqueued() if job.id in mine]

    async def drain(
        self, *, scheduled: bool = False, timeout: float | timedelta | None = None
    ) -> None:
        """Wait until no job is queued or running. Jobs that fail raise nothing here.

        Jobs that these workers do not run are left where they are.

        Args:
            scheduled: Nor scheduled: delayed jobs and retries run, too. In virtual time the clock
                goes there by itself. In real time nothing is waited for: whenever nothing else is
                left to do, the queue's clock is put forward to the next job that is due.
            timeout: Seconds to wait, or a `timedelta`; None: 10 in real time, and in virtual time
                as long as it takes.

        Raises:
            TimeoutError: jobs are still unfinished; the message names them.
        """
        if isinstance(timeout, timedelta):
            timeout = timeout.total_seconds()
        if timeout is None and not self._virtual:
            timeout = PATIENCE
        with anyio.move_on_after(timeout) as limit:
            await self._drain(scheduled)
        if limit.cancelled_caught:
            raise TimeoutError(f"after {timeout:g} s {self.stand()}")

    def stand(self) -> str:
        """What is not over yet, in words."""
        jobs = self.unfinished()
        if not jobs:
            return "no job is unfinished"
        return "these jobs are not over:\n" + "\n".join(f"  {job.describe()}" for job in jobs)

    async def _drain(self, scheduled: bool) -> None:
        awaited = {JobStatus.QUEUED, JobStatus.RUNNING}
        if scheduled and self._virtual:
            awaited.add(JobStatus.SCHEDULED)
        idle = 0
        while idle < _TURNS:
            if self._has(awaited):
                await self._change()
                idle = 0
                continue
            await anyio.lowlevel.checkpoint()
            idle += 1
            if idle == _TURNS and scheduled and self._has({JobStatus.SCHEDULED}):
                self._skip()
                await self._change()
                idle = 0

    def _runs(self, function: str) -> bool:
        return function in self.definitions

    def _has(self, statuses: set[JobStatus]) -> bool:
        every = self.store.unfinished.values()
        return any(job.status in statuses and self._runs(job.function) for job in every)

    async def _change(self) -> None:
        self._changed = anyio.Event()
        await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()

    def _skip(self) -> None:
        """Put the queue's clock forward to the next scheduled job, and wake who moves it."""
        mine = [
            job
            for job in self.store.unfinished.values()
            # One that stands in a schedule's line waits for another job, not for its time.
            if self._runs(job.function) and job.id in self.store.queue_of(job).scheduled
        ]
        first = min(mine, key=lambda job: job.due)
        self._clock.skip_to(first.due)
        queue = self.store.queue_of(first)
        queue.publish(f"{queue.prefix}due", str(first.due).encode())


@define(eq=False)
class Crew:
    """Owns the workers of one test, and the scope that their failure ends."""

    stand: Callable[[], str]
    scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    failure: Exception | None = field(default=None, init=False)
    _shutdowns: list[Shutdown] = field(factory=list[Shutdown], init=False)
    _watching: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)

    async def work(self, parts: Parts, *, task_status: TaskStatus[None]) -> None:
        """Run one worker until it is told to stop."""
        shutdown = Shutdown(0.0)
        self._shutdowns.append(shutdown)
        try:
            await run_tree(parts, shutdown, _leave_stuck, task_status=task_status)
        except Exception as crash:  # the test that waits for it is to hear of it
            self._fail(crash)

    async def watch(self) -> None:
        """End a test that waits for what can never happen. For virtual time."""
        with self._watching:
            await anyio.sleep(LONGEST_TEST)
            years = round(LONGEST_TEST / 365 / 86_400)
            waits = f"the test still waits after {years} years of virtual time"
            self._fail(TimeoutError(f"{waits}; {self.stand()}"))

    def stop(self) -> None:
        """Cancel what runs."""
        self._watching.cancel()
        for shutdown in self._shutdowns:
            shutdown.stop_now()

    def _fail(self, failure: Exception) -> None:
        self.failure = self.failure or failure
        self.scope.cancel("the workers of the test failed")


@asynccontextmanager
async def run_worker(
    *workers: Worker,
    settings: QueueSettings | None = None,
    now: datetime | None = None,
    sync_executor: SyncExecutor | None = SyncExecutor.THREAD,
    jitter: bool = False,
) -> AsyncGenerator[Harness]:
    """Run workers inside the block, as `upnext.run` would, on a queue in memory.

    Whatever is submitted meanwhile in this process goes there: no server is needed, and none is
    asked. At the end what still runs is cancelled, and nothing is kept.

    Args:
        *workers: The workers; any number of them share the queue.
        settings: How they take jobs in, instead of the defaults; the environment is not read.
        now: The moment, with a time zone, that the queue's clock begins with; None: the real one.
        sync_executor: Where sync functions run: threads, whatever the workers say, for mocks do
            not reach other processes. None: where the workers say.
        jitter: Spread delays between attempts as declared; else each is exactly the middle one.

    Yields:
        The harness: `drain` it, and assert about its jobs.

    Raises:
        ConfigurationError: a worker cannot run as it is declared, or there is none.
        Exception: a worker failed; the block was cancelled.
        TimeoutError: in virtual time, the test would wait for ever; the block was cancelled.
    """
    if not workers:
        raise ConfigurationError("run_worker() needs a worker: run_worker(worker)")
    if now is not None and now.tzinfo is None:
        raise ConfigurationError(f"now={now!r} has no time zone: pass an aware datetime")
    queue, clock = settings or QueueSettings(), Clock(now)
    store = KeptStore(bounds_of(Settings(queue=workers[0].queue_config.over(queue))), clock=clock)
    harness = Harness(store, clock)
    crew = Crew(harness.stand)
    error: BaseException | None = None
    with bind(store, blocking=AtOnce(store), everywhere=True):
        async with anyio.create_task_group() as group:
            try:
                for worker in workers:
                    parts = _compose(worker, store, queue, sync_executor, jitter)
                    harness.definitions.update({task.name: task for task in worker.registry})
                    harness.workers[worker.name] = parts.worker
                    await group.start(crew.work, parts, name=worker.name)
                if has_virtual_time():
                    group.start_soon(crew.watch)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                store.gap()  # all ears are open by now: nothing that came before is missed
                with crew.scope:
                    yield harness
            except (anyio.get_cancelled_exc_class(), GeneratorExit):
                raise
            except BaseException as raised:
                # Raised again outside the task group, which would wrap it in a group of errors.
                error = raised
            finally:
                crew.stop()
    if crew.failure is not None:
        raise crew.failure from error
    if error is not None:
        raise error


def _compose(
    worker: Worker,
    store: KeptStore,
    queue: QueueSettings,
    sync_executor: SyncExecutor | None,
    jitter: bool,
) -> Parts:
    """The stages as they always are, but for what a test has no use for."""
    lease = round(QUIET * 3000)
    parts = compose_worker(
        worker,
        store=store,
        keys=store.keys,
        queue=evolve(worker.queue_config.over(queue), claim_timeout_ms=lease),
        open_blocking_store=None,
        sync_executor=sync_executor,
    )
    for part in fields(Parts):
        stage = getattr(parts, part.name)
        if hasattr(stage, "every"):  # it looks after messages that may be lost elsewhere
            stage.every = QUIET
    outside = outside_of_loop()
    outside.limiters.extend(parts.limiters)
    for attempt in parts.executor.attempts.values():
        if not jitter and attempt.definition.retry_jitter:
            attempt.definition = evolve(attempt.definition, retry_jitter=False)
        if not attempt.definition.is_async:
            attempt.invoke = OutsideCall(attempt.invoke, outside)
    return parts


async def _leave_stuck(names: list[str]) -> None:
    """Jobs that swallow their cancellation cannot be ended; the log has named them."""
