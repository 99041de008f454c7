"""A test's queue: it forgets nothing, tells of every change, and can answer without waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio.lowlevel
from attrs import evolve

from upnext.client.ports import Hearing
from upnext.contracts.keys import Keys
from upnext.errors import EventRefusedError, JobRefusedError
from upnext.model.event import NewEvent, Sent
from upnext.model.job import Enqueued, JobRecord, Letters, NewJob, Replayed
from upnext.model.report import Heard
from upnext.model.schedule import Ordered, ScheduleOrder, Schedules
from upnext.model.status import JobStatus
from upnext.store.bounds import Bounds
from upnext.store.cancel import CancelledTree, CancelVerdict
from upnext.testing.memory import MemoryStore
from upnext.testing.memory_store.events import Events
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record

V = TypeVar("V")

FOREVER = 100 * 365 * 86_400_000
"""Milliseconds."""


class KeptStore(MemoryStore):
    """A `MemoryStore` for tests to look into, from any thread.

    Attributes:
        unfinished: The jobs that are not over, by id.
        on_change: Called after every transition of a job.
    """

    def __init__(self, bounds: Bounds | None = None, *, clock: Callable[[], int]) -> None:
        given = bounds or Bounds()
        super().__init__(Keys(), evolve(given, record_ttl=FOREVER), clock=clock)
        self._event_bounds = evolve(given, handler_ttl=FOREVER)
        self.board.hungry_live = FOREVER  # nor need routers, nor say again what they handle
        self.unfinished: dict[str, Record] = {}
        self.on_change: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        self._waits = True

    def records(self) -> list[Record]:
        """Every job there ever was, in the order of submission."""
        every = [job for queue in self.queues.values() for job in queue.jobs.values()]
        return sorted(every, key=lambda job: job.created)

    def queue_of(self, job: Record) -> Queue:
        """Where a job is kept."""
        return self.queues[self.keys.of_job(job.id)]

    def at_once(self, verb: Coroutine[Any, Any, V]) -> V:
        """Run a verb to its end here and now, with no event loop or on its thread."""
        with self._lock:
            before, self._waits = self._waits, False
            try:
                verb.send(None)
            except StopIteration as end:
                return end.value
            finally:
                self._waits = before
                verb.close()
        raise AssertionError("a verb of the memory store waited")

    async def _now(self) -> int:
        if self._waits:
            await anyio.lowlevel.checkpoint()
        return self.clock()

    async def _events(self) -> tuple[Events, int]:
        board, now = await super()._events()
        board.bounds = self._event_bounds
        return board, now

    def _queue(self, prefix: str, now: int) -> Queue:
        known = prefix in self.queues
        queue = super()._queue(prefix, now)
        if not known:
            queue.hungry_live = FOREVER  # workers need not say again and again that they are free
            queue.on_change = self._changed
        return queue

    def _changed(self, job: Record) -> None:
        if job.status.is_terminal():
            self.unfinished.pop(job.id, None)
        else:
            self.unfinished[job.id] = job
        self.on_change()


class AtOnce:
    """A kept store for callers that do not await."""

    def __init__(self, store: KeptStore) -> None:
        self.store = store
        self.keys = store.keys

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept new jobs; one answer each, in order."""
        return self.store.at_once(self.store.enqueue(jobs))

    def send(self, events: Sequence[NewEvent]) -> list[Sent | EventRefusedError]:
        """Store events; one answer each, in order."""
        return self.store.at_once(self.store.send(events))

    def cancel(self, job_id: str, reason: str) -> CancelVerdict:
        """Cancel one job."""
        return self.store.at_once(self.store.cancel(job_id, reason))

    def cancel_trees(self, job_ids: Sequence[str], reason: str) -> list[CancelledTree]:
        """Cancel jobs and every unfinished job below them."""
        return self.store.at_once(self.store.cancel_trees(job_ids, reason))

    def living(self, job_id: str) -> list[str]:
        """The unfinished jobs below a job."""
        return self.store.at_once(self.store.living(job_id))

    def lookup(self, job_id: str) -> JobRecord | None:
        """What is known of a job."""
        return self.store.at_once(self.store.lookup(job_id))

    def watch(self, job_id: str, channel: str) -> JobRecord | None:
        """Look up a job and have `channel` told when it is over."""
        return self.store.at_once(self.store.watch(job_id, channel))

    def follow(self, job_id: str, what: str, after: str, most: int) -> Heard | None:
        """Read what a job has said."""
        return self.store.at_once(self.store.follow(job_id, what, after, most))

    def pause(
        self, functions: Sequence[str] | None, until: int | None = None, delay: int | None = None
    ) -> int:
        """Let no more jobs of functions be claimed."""
        return self.store.at_once(self.store.pause(functions, until, delay))

    def resume(self, functions: Sequence[str] | None) -> int:
        """Let jobs of paused functions be claimed again."""
        return self.store.at_once(self.store.resume(functions))

    def now(self) -> int:
        """The queue's clock, Unix milliseconds."""
        return self.store.clock()

    def schedules(self, functions: Sequence[str]) -> Schedules:
        """All schedules of each function."""
        return self.store.at_once(self.store.schedules(functions))

    def order(self, order: ScheduleOrder) -> Ordered:
        """Change one schedule."""
        return self.store.at_once(self.store.order(order))

    def scheduled_functions(self) -> list[str]:
        """The names of all functions that ever had a schedule."""
        return self.store.at_once(self.store.scheduled_functions())

    def functions(self) -> list[str]:
        """The names of all functions."""
        return self.store.at_once(self.store.functions())

    def dead_letters(
        self,
        function: str,
        count: int = 100,
        since: int | None = None,
        until: int | None = None,
        behind: tuple[int, str] | None = None,
    ) -> Letters:
        """A page of a function's dead letters."""
        return self.store.at_once(self.store.dead_letters(function, count, since, until, behind))

    def replay(self, function: str, letters: Sequence[tuple[str, str]]) -> list[Replayed]:
        """Make new jobs of dead letters."""
        return self.store.at_once(self.store.replay(function, letters))

    def purge(self, function: str, ids: Sequence[str]) -> int:
        """Delete dead letters."""
        return self.store.at_once(self.store.purge(function, ids))

    @contextmanager
    def listen(self, channel: str) -> Generator[Hearing]:
        """Hear what is told of jobs that end while this thread is in a call of the store."""
        ear = _Ear()
        subscription = self.store.subscribe(channel, ear.told.append, lambda: None)
        try:
            yield ear
        finally:
            subscription.close()

    def close(self) -> None:
        """There is nothing to close."""


class _Ear:
    def __init__(self) -> None:
        self.told: list[bytes] = []

    def hear(self, seconds: float) -> bytes | None:
        """The next message; nothing more comes while this thread is in here."""
        if self.told:
            return self.told.pop(0)
        raise RuntimeError(
            "this would wait for ever, because this thread is the one that runs the job: await the"
            " call without _sync, or make it in a worker thread. In fake_queue() nothing runs"
        )


def make_due(store: KeptStore, job: Record, now: int) -> None:
    """Let a scheduled job wait for a worker at once, as if its time had come."""
    queue = store.queue_of(job)
    if job.status is JobStatus.SCHEDULED:
        del queue.scheduled[job.id]
        job.due = min(job.due, now)
        queue.to_lane(job, first=False)
        queue.emit("queued", job, attempt=job.attempt)
