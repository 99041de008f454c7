"""A whole worker on the memory store, for tests to start, feed, look into and stop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskStatus
from attrs import define, evolve, field

from upnext.client.client import Client
from upnext.client.connect import bind
from upnext.client.ended import Ended
from upnext.model.job import JobRecord
from upnext.settings import QueueSettings
from upnext.testing.memory import MemoryStore
from upnext.worker.compose import compose
from upnext.worker.shutdown import Shutdown
from upnext.worker.supervisor import Parts, Report, run_worker
from upnext.worker.worker import Worker

LIMIT = 3600.0
"""Seconds, virtual ones as a rule, after which a test of a whole worker has failed."""


@define(eq=False)
class Tree:
    """One running worker."""

    parts: Parts
    shutdown: Shutdown
    store: Any
    client: Client
    stuck: list[str] = field(factory=list)
    """What `on_stuck` was told."""
    on_stuck: Callable[[], None] = field(default=lambda: None)
    report: Report | None = None
    error: BaseException | None = None
    ended: anyio.Event = field(factory=anyio.Event)

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        try:
            self.report = await run_worker(
                self.parts, self.shutdown, self._on_stuck, task_status=task_status
            )
        except Exception as error:
            self.error = error
        finally:
            self.ended.set()

    async def _on_stuck(self, names: list[str]) -> None:
        self.stuck = names
        self.on_stuck()

    async def end_of(self, job: Any) -> Ended:
        """How a job ends; a future or an id."""
        return await self.client.end_of(getattr(job, "job_id", job))

    async def record(self, job: Any) -> JobRecord:
        """What the store knows of a job now."""
        record = await self.store.lookup(getattr(job, "job_id", job))
        assert record is not None
        return record

    async def stop(self) -> None:
        """Soft stop, and see that nothing is left behind."""
        self.shutdown.begin_drain()
        await self.ended.wait()
        self.is_clean()

    async def stop_now(self) -> None:
        """Hard stop, and see that nothing is left behind."""
        self.shutdown.stop_now()
        await self.ended.wait()
        self.is_clean()

    def is_clean(self) -> None:
        """All slots are back, and no job or outcome is left anywhere."""
        parts = self.parts
        slots, inbox = parts.slots.statistics(), parts.inbox.statistics()
        assert (slots.free, slots.lent, slots.returning) == (slots.concurrency, 0, 0)
        assert (inbox.queued, inbox.reserved, inbox.idle_executors) == (0, 0, 0)
        assert parts.running.statistics().running == 0
        assert parts.outbox.statistics().queued == 0
        assert parts.leases.statistics().held == 0
        if self.error is None:
            assert self.report is not None
            assert self.report.clean


@asynccontextmanager
async def running(
    worker: Worker,
    *,
    store: Any = None,
    grace: float = 30.0,
    change: Callable[[Parts], None] = lambda parts: None,
    **queue: Any,
) -> AsyncIterator[Tree]:
    """Run a worker; what is submitted inside the block goes to its store.

    Args:
        worker: With its tasks.
        store: The queue; by default an empty one in memory.
        grace: Seconds after a soft stop.
        change: Told the worker's parts before they start.
        **queue: Changes of the queue settings.
    """
    store = MemoryStore() if store is None else store
    with bind(store) as client, anyio.fail_after(LIMIT):
        parts = compose(
            name=worker.name,
            definitions={definition.name: definition for definition in worker.registry},
            store=store,
            keys=store.keys,
            queue=evolve(QueueSettings(), **queue),
            concurrency=worker.concurrency,
            max_waiting=worker.max_waiting,
            sync_executor=worker.sync_executor,
            open_blocking_store=None,
            capture_logs=worker.capture_logs,
        )
        change(parts)
        tree = Tree(parts, Shutdown(grace), store, client)
        async with anyio.create_task_group() as group:
            await group.start(tree.run)
            try:
                yield tree
            finally:
                tree.shutdown.stop_now()


async def until(condition: Callable[[], Any]) -> None:
    """Return when something holds. In virtual time that is no wait for time."""
    while not condition():  # noqa: ASYNC110 - what is looked at has no event
        await anyio.sleep(0.01)


async def raise_while_cancelled() -> None:
    """Cancelled, it raises an error together with the cancellation."""

    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("while cleaning up")

    async with anyio.create_task_group() as group:
        group.start_soon(child)
        group.start_soon(anyio.sleep_forever)
