"""The queue without a server: the same verbs and the same answers, in memory.

For unit tests of what uses a store, and the model that the real store is tested against. One
process and one event loop; nothing is kept when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

import anyio
import anyio.lowlevel

from upnext.contracts.keys import Keys
from upnext.errors import JobRefusedError
from upnext.model.job import (
    Claimed,
    Enqueued,
    Held,
    JobRecord,
    NewJob,
    Rescued,
    Revoked,
    Staged,
)
from upnext.model.outcome import Outcome, Settled
from upnext.model.report import Heard, Reports, Written
from upnext.model.schedule import Fired, Firing, Ordered, ScheduleOrder, Schedules
from upnext.redis.waiter import Waiter
from upnext.store.bounds import Bounds
from upnext.store.cancel import CancelVerdict
from upnext.testing.memory_store.cancel import cancel
from upnext.testing.memory_store.channels import Channels, MemorySubscription
from upnext.testing.memory_store.claim import claim
from upnext.testing.memory_store.cron import fire
from upnext.testing.memory_store.enqueue import enqueue
from upnext.testing.memory_store.event_verbs import EventVerbs
from upnext.testing.memory_store.events import Events
from upnext.testing.memory_store.follow import follow
from upnext.testing.memory_store.letter_verbs import LetterVerbs
from upnext.testing.memory_store.limits import limits
from upnext.testing.memory_store.pause import pause
from upnext.testing.memory_store.permit import Group, permit
from upnext.testing.memory_store.present import Roll
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.recover import recover
from upnext.testing.memory_store.renew import renew
from upnext.testing.memory_store.report import report
from upnext.testing.memory_store.rescue import rescue
from upnext.testing.memory_store.resume import resume
from upnext.testing.memory_store.retire import retire
from upnext.testing.memory_store.schedule import order as change_schedule
from upnext.testing.memory_store.schedule import read
from upnext.testing.memory_store.settle import settle
from upnext.testing.memory_store.stage import stage
from upnext.testing.memory_store.track import ApiRecord
from upnext.testing.memory_store.track_verbs import TrackVerbs
from upnext.testing.memory_store.tree_verbs import TreeVerbs
from upnext.testing.memory_store.watch import watch

__all__ = ["LoopClock", "MemoryStore"]


class LoopClock:
    """Unix milliseconds that pass as the event loop's own clock does.

    Under Trio's `MockClock` time passes when that clock says so.
    """

    def __init__(self) -> None:
        self._offset: float | None = None

    def __call__(self) -> int:
        """The time now. Call it inside an event loop."""
        passed = anyio.current_time()
        if self._offset is None:
            self._offset = time.time() - passed
        return int((self._offset + passed) * 1000)


class MemoryStore(EventVerbs, LetterVerbs, TrackVerbs, TreeVerbs):
    """One workspace's queue, with the verbs of `upnext.store.store.Store`.

    Every verb is a checkpoint and then happens at once. Channels call their listeners while the
    verb runs that publishes.

    Args:
        keys: The workspace.
        bounds: What is kept and for how long.
        clock: Tells Unix milliseconds; by default the event loop's clock.

    Attributes:
        queues: Everything of each function, by its key prefix, for tests to look into.
        board: Everything of events, likewise.
    """

    busy = False  # nobody waits for what happens at once

    def __init__(
        self,
        keys: Keys | None = None,
        bounds: Bounds | None = None,
        *,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.keys = Keys() if keys is None else keys
        self.bounds = Bounds() if bounds is None else bounds
        self.clock = LoopClock() if clock is None else clock
        self.queues: dict[str, Queue] = {}
        self._channels = Channels()
        self.board = Events(self.keys.events, self.bounds, self._channels)
        self._definitions: dict[str, bytes] = {}
        self._paused: int | None = None
        self._groups: dict[str, Group] = {}
        self._scheduled: dict[str, None] = {}
        self._families: set[str] = set()
        self._beats: dict[str, tuple[bytes, int]] = {}
        self._apis = Roll()
        self._api_records: dict[str, ApiRecord] = {}

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept new jobs; one answer each, in order."""
        now = await self._now()
        answers: list[Enqueued | JobRefusedError] = []
        self._families.update(job.function for job in jobs if job.parent_id)
        for prefix, group in groupby(jobs, lambda job: self.keys.function(job.function)):
            answers += enqueue(self._queue(prefix, now), now, list(group))
        return answers

    async def claim(
        self, worker: str, wants: Sequence[tuple[str, int]], *, prompt: bool = False
    ) -> Claimed:
        """Take up to so many waiting jobs of each function."""
        now = await self._now()
        claimed = Claimed(now=now)
        for name, want in wants:
            channel = self.keys.worker_channel(worker)
            jobs, more, later = claim(self._function(name, now), now, worker, channel, want)
            claimed.jobs.extend(jobs)
            if later is not None:
                claimed.later[name] = later
            if more:
                claimed.more.append(name)
        return claimed

    async def recover(self, worker: str, functions: Sequence[str], known: Iterable[str]) -> Claimed:
        """The jobs this worker owns besides those it knows of."""
        now = await self._now()
        ids = set(known)
        queues = [self._function(name, now) for name in functions]
        return Claimed(
            jobs=[job for queue in queues for job in recover(queue, now, worker, ids)], now=now
        )

    async def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]:
        """Keep the leases of held jobs; the answer names those not to be run on."""
        now = await self._now()
        by_function: dict[str, list[Held]] = {}
        for one in held:
            by_function.setdefault(one.function, []).append(one)
        return [
            revoked
            for name, group in by_function.items()
            for revoked in renew(self._function(name, now), now, worker, group)
        ]

    async def settle(self, worker: str, outcomes: Sequence[Outcome]) -> list[Settled | str]:
        """Write down how attempts ended; one answer each, in order."""
        now = await self._now()
        queues = [self._function(outcome.held.function, now) for outcome in outcomes]
        answers: list[Settled | str] = [
            settle(queue, now, worker, outcome)
            for queue, outcome in zip(queues, outcomes, strict=True)
        ]
        for queue in dict.fromkeys(queues):
            queue.give_room()
        return answers

    async def report(self, worker: str, batch: Sequence[Reports]) -> list[Written | str]:
        """Write down what jobs say; one answer for each, in order."""
        now = await self._now()
        return [report(self._function(job.held.function, now), now, worker, job) for job in batch]

    async def follow(self, job_id: str, what: str, after: str, most: int) -> Heard | None:
        """Read what a job has said; None when there is no such job.

        Raises:
            ValueError: not a job id.
        """
        now = await self._now()
        return follow(self._queue(self.keys.of_job(job_id), now), now, job_id, what, after, most)

    async def stage(self, functions: Sequence[str]) -> list[Staged]:
        """Move due jobs of each function to where workers claim them."""
        now = await self._now()
        return [stage(self._function(name, now), now, name) for name in functions]

    async def fire(self, firings: Sequence[Firing]) -> list[Fired]:
        """Make the due jobs of schedules, each once whoever races; one answer each, in order."""
        now = await self._now()
        return [fire(self._function(one.function, now), now, one) for one in firings]

    async def schedules(self, functions: Sequence[str]) -> Schedules:
        """All schedules of each function."""
        now = await self._now()
        queues = [self._function(name, now) for name in functions]
        return Schedules(now, [schedule for queue in queues for schedule in read(queue)])

    async def order(self, order: ScheduleOrder) -> Ordered:
        """Change one schedule."""
        now = await self._now()
        if order.sets:
            self._scheduled[order.function] = None
        return change_schedule(self._function(order.function, now), now, order)

    async def scheduled_functions(self) -> list[str]:
        """The names of all functions that ever had a schedule in this workspace."""
        await self._now()
        return list(self._scheduled)

    async def now(self) -> int:
        """The store's clock, Unix milliseconds."""
        return await self._now()

    async def rescue(
        self,
        worker: str,
        functions: Sequence[str],
        lease: int,
        as_of: int,
        most: Mapping[str, int] | None = None,
    ) -> Rescued:
        """Requeue jobs that other workers did not renew for `lease` milliseconds.

        `as_of` is the time as the caller reckons it: a call that comes much later takes nothing.
        `most` says how often a job may be lost, for functions that differ from the bounds.
        """
        now, limits = await self._now(), most or {}
        queues = [self._function(name, now) for name in functions]
        found = [
            rescue(queue, now, worker, lease, as_of, limits.get(name))
            for name, queue in zip(functions, queues, strict=True)
        ]
        for queue in queues:
            queue.give_room()
        return Rescued(
            [job for one in found for job in one.requeued],
            [job for one in found for job in one.buried],
            any(one.held_back for one in found),
        )

    async def cancel(self, job_id: str, reason: str) -> CancelVerdict:
        """Cancel one job: at once when it waits, through its worker when it runs.

        Raises:
            ValueError: not a job id.
        """
        now = await self._now()
        queue = self._queue(self.keys.of_job(job_id), now)
        verdict = cancel(queue, now, job_id, reason, self.keys.worker_channels)
        queue.give_room()
        return verdict

    async def lookup(self, job_id: str) -> JobRecord | None:
        """What is known of a job; None when there is no record of it.

        Raises:
            ValueError: not a job id.
        """
        now = await self._now()
        job = self._queue(self.keys.of_job(job_id), now).jobs.get(job_id)
        return None if job is None else job.as_record()

    async def watch(self, job_id: str, channel: str) -> JobRecord | None:
        """Look up a job and, unless it is over, have `channel` told when it is.

        Raises:
            ValueError: not a job id.
        """
        now = await self._now()
        return watch(self._queue(self.keys.of_job(job_id), now), now, job_id, channel)

    async def retire(self, worker: str, functions: Sequence[str]) -> int:
        """Forget a worker that stops; the answer counts the jobs queued again."""
        self._beats.pop(worker, None)
        now = await self._now()
        channel = self.keys.worker_channel(worker)
        queues = [self._function(name, now) for name in functions]
        requeued = sum(retire(queue, now, worker, channel) for queue in queues)
        for queue in queues:
            queue.give_room()
        self.board.forget_hunger(channel)
        return requeued

    async def declare(self, definitions: Mapping[str, bytes]) -> None:
        """Publish what a worker runs: function name -> JSON of its definition."""
        now = await self._now()
        new = definitions.keys() - self._definitions.keys()
        self._definitions.update(definitions)
        for name, definition in definitions.items():
            limits(self._function(name, now), definition)
        if self._paused is not None and not 0 < self._paused <= now:
            for name in new:
                pause(self._function(name, now), self._paused)

    async def permit(
        self, group: str, worker: str, holding: int, wanting: int, ttl: int, most: int | None
    ) -> int | None:
        """Hold permits of a group; None when the group has no limit."""
        now, prefix = await self._now(), self.keys.group(group)
        known = self._groups.setdefault(prefix, Group(prefix))
        channel = self.keys.worker_channel(worker)
        count = permit(known, self._channels, now, worker, channel, holding, wanting, ttl, most)
        return None if count < 0 else count

    async def pause(
        self, functions: Sequence[str] | None, until: int | None = None, delay: int | None = None
    ) -> int:
        """Let no more jobs of functions be claimed; None: of all. Returns when that ends, or 0."""
        now = await self._now()
        if delay is not None:
            until = now + delay
        if functions is None:
            self._paused, functions = until or 0, list(self._definitions)
        for name in functions:
            pause(self._function(name, now), until)
        return until or 0

    async def resume(self, functions: Sequence[str] | None) -> int:
        """Let jobs of paused functions be claimed again; None: of all. How many were paused."""
        now = await self._now()
        if functions is None:
            self._paused, functions = None, list(self._definitions)
        return sum(resume(self._function(name, now), now) for name in functions)

    async def paused(self, functions: Sequence[str] | None = None) -> dict[str, int]:
        """The functions that are paused, of these or of all, and until when; 0: no end."""
        now = await self._now()
        names = list(self._definitions) if functions is None else functions
        found = {name: self._function(name, now).ring.paused for name in names}
        return {
            name: until
            for name, until in found.items()
            if until is not None and not 0 < until <= now
        }

    async def functions(self) -> list[str]:
        """The names of all functions that a worker ever declared in this workspace."""
        await self._now()
        return list(self._definitions)

    async def beat(self, worker: str, record: bytes, ttl: int) -> bool:
        """Publish a worker's heartbeat record; whether the last one was still there."""
        known = worker in self.workers()
        self._beats[worker] = (record, await self._now() + ttl)
        return known

    def workers(self) -> dict[str, bytes]:
        """The heartbeat records of the workers that are alive, for tests to look at."""
        now = self.clock()
        return {name: record for name, (record, until) in self._beats.items() if until >= now}

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> MemorySubscription:
        """Hear a channel from now on."""
        return self._channels.add(channel, on_message, on_gap)

    async def attend(self, waiter: Waiter) -> None:
        """Wait until a message handler wakes `waiter`."""
        await anyio.lowlevel.checkpoint()
        while not waiter.done:
            woken = anyio.Event()
            waiter.on_resume = woken.set
            try:
                await woken.wait()
            finally:
                waiter.on_resume = None

    def gap(self) -> None:
        """Tell every listener that it may have missed something, as after a reconnect."""
        self._channels.gap()

    async def _now(self) -> int:
        await anyio.lowlevel.checkpoint()
        return self.clock()

    def _function(self, name: str, now: int) -> Queue:
        return self._queue(self.keys.function(name), now)

    def _queue(self, prefix: str, now: int) -> Queue:
        queue = self.queues.get(prefix)
        if queue is None:
            queue = self.queues[prefix] = Queue(prefix, self.bounds, self._channels)
        queue.expire(now)
        return queue
