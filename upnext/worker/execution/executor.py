"""Takes jobs out of the inbox and runs them, as many at once as there are slots."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from anyio.abc import TaskGroup
from attrs import define, field

from upnext.model.job import Job
from upnext.redis.loops import primitives
from upnext.worker.execution.attempt import Attempt
from upnext.worker.execution.blame import is_the_jobs
from upnext.worker.execution.slots import SlotHolder, Slots
from upnext.worker.execution.strays import tell_of_stray
from upnext.worker.intake.inbox import Inbox
from upnext.worker.settlement.outbox import Outbox


@define(eq=False)
class Executor:
    """Runs attempts in a fixed number of tasks, plus one for every slot that is lent.

    The tasks live in the execution group. They end when the inbox does: closed, empty, and no job
    runs any more. A cancellation that no scope asked for, which a job may send late, ends none.
    """

    inbox: Inbox
    outbox: Outbox
    slots: Slots
    attempts: Mapping[str, Attempt]
    _group: TaskGroup | None = field(default=None, init=False)
    _tasks: int = field(default=0, init=False)

    def open(self, group: TaskGroup) -> None:
        """Start the tasks in this group."""
        self._group = group
        self.slots.connect(on_free=self.inbox.stir, on_lend=self._on_lend)
        self._grow(self.slots.concurrency)

    def _on_lend(self, lent: int) -> None:
        """While a job waits for another one, its task cannot run a third."""
        self._grow(self.slots.concurrency + lent)

    def _grow(self, tasks: int) -> None:
        assert self._group is not None
        while self._tasks < tasks:
            self._tasks += 1
            self._group.start_soon(self._work, name=f"executor {self._tasks}")

    async def _work(self) -> None:
        loop = primitives()
        last: Job | None = None
        before = loop.cancels()
        while True:
            try:
                if self.outbox.full:
                    await self.outbox.room()
                try:
                    job = self.inbox.take() or await self.inbox.receive()
                except anyio.EndOfStream:
                    return
                last = job
                slot = SlotHolder(self.slots, job.id)
                try:
                    await self.attempts[job.function].run(job, slot, self.outbox.put)
                finally:
                    slot.end()
            except anyio.get_cancelled_exc_class() as raised:
                if not is_the_jobs(raised):
                    raise
                await loop.persist(before)
                tell_of_stray(None if last is None else last.held)
