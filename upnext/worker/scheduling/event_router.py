"""Makes events their handlers' jobs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from math import inf

import anyio
import anyio.lowlevel
from attrs import define, field
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from upnext.contracts.handlers import encode_source
from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.event import Concluded, Routing, TakenEvent
from upnext.model.identity import handler_job_id, is_event_id
from upnext.model.job import Enqueued, NewJob
from upnext.worker.log import logger
from upnext.worker.ports import RoutePort
from upnext.worker.scheduling.routes import Route, Routes

MOST_LEASE = 10_000
"""Milliseconds after which another router takes the events of one that died; a job's lease, if that
is shorter. Routing takes some milliseconds, and doing it twice does no harm."""
BATCH = 100
"""Events in one take."""
MOST_JOBS = 1_000
"""Jobs in one write."""
MOST_BYTES = 4 * 1024 * 1024
"""Bytes of arguments in one write, about."""
SWEEP_INTERVAL = 5.0
"""Seconds after which it looks unbidden, for what dead routers left and in case a message was
lost."""
KEEP_INTERVAL = 3600.0
"""Seconds between two words that its handlers are still there."""
MOST_TOLD = 1_000
"""Names of events that nobody handles of which the log is not to speak again."""
RETRY_INTERVAL = 0.5
"""Seconds after which it tries again what the broker refused."""


@define(eq=False)
class EventRouter:
    """Takes events, makes one job for each handler that matches, and says so.

    Several routers share the events. A job's id follows from its handler and its event, so that a
    routing which is done twice, because a reply was lost or a router died, makes each job once. A
    worker without handlers routes nothing.

    A round is cut off by a limit of half a lease and not by a soft stop: what was taken is better
    concluded than left to the end of its lease.
    """

    store: RoutePort
    worker: str
    handlers: Mapping[str, bytes]
    """Those of this worker: function -> its record for the roll."""
    lease: int
    """Milliseconds."""
    every: float = SWEEP_INTERVAL
    """Seconds between two sweeps."""
    _routes: Routes = field(factory=Routes, init=False)
    _open: bool = field(default=False, init=False)
    _news: anyio.Event = field(factory=anyio.Event, init=False)
    _unknown: bool = field(default=False, init=False)
    """A take or its conclusion was cut off: the store knows what this router holds."""
    _starts: bool = field(default=True, init=False)
    """It has not said yet which handlers there are."""
    _told: set[str] = field(factory=set[str], init=False)
    """Events of which the log says that nobody handles them."""
    _keep_at: float = field(default=-inf, init=False)
    _sweep_at: float = field(default=-inf, init=False)

    def note(self) -> bool:
        """There are events; whether this router is there to take them."""
        self._news.set()
        return self._open

    async def run(self) -> None:
        if not self.handlers:
            return
        self._open = True
        try:
            while True:
                if await self._look():
                    await anyio.lowlevel.checkpoint()  # a round itself is not cancelled
                    continue
                with anyio.move_on_at(self._sweep_at):
                    await self._news.wait()
        finally:
            self._open = False

    async def _look(self) -> bool:
        """Route what there is; whether to look again at once."""
        self._news = anyio.Event()
        try:
            with anyio.move_on_after(self.lease / 2000, shield=True) as limit:
                return await self._round(anyio.current_time())
            if limit.cancelled_caught:
                logger.warning("routing events took too long and begins again")
        except RedisError as error:
            logger.warning("cannot route events: %s", error)
            await anyio.sleep(RETRY_INTERVAL)
        return True

    async def _round(self, began: float) -> bool:
        if began >= self._keep_at:
            await self._enlist(began)
        left, own = began >= self._sweep_at, self._unknown
        self._unknown = True
        taken = await self.store.take(
            self.worker, BATCH, self.lease, self._routes.version, own=own, left=left
        )
        if left:
            # Jitter keeps the routers of many workers from coming all at once.
            self._sweep_at = began + self.every * random.uniform(1.0, 1.2)
        if taken.handlers is not None:
            self._routes.replace(taken.version, taken.handlers)
            if self._routes.lack(self.handlers):
                # The server lost its data, or somebody took a handler off that is there. What
                # was taken is asked for again, with the roll as it is then.
                self._starts = True
                await self._enlist(began)
                return True
        if taken.events:
            if anyio.current_time() - began >= self.lease / 1000:
                return True  # this process stood still, and others have these events now
            concluded = await self._route(taken.events)
            await self.store.conclude(self.worker, concluded)
            if any(one.routing is Routing.PARTIAL for one in concluded):
                # They are taken again when the lease is over.
                over = anyio.current_time() + (self.lease + 1) / 1000
                self._sweep_at = min(self._sweep_at, over)
        self._unknown = False
        return taken.more

    async def _enlist(self, now: float) -> None:
        await self.store.enlist(self.handlers, starts=self._starts)
        self._starts, self._keep_at = False, now + KEEP_INTERVAL

    async def _route(self, events: Sequence[TakenEvent]) -> list[Concluded]:
        routes = [self._routes.of(event.name) if is_event_id(event.id) else [] for event in events]
        jobs = [
            _job(event, route)
            for event, listeners in zip(events, routes, strict=True)
            for route in listeners
            if route.tag not in event.done
        ]
        jobs.sort(key=lambda job: job.function)  # the store writes runs of one function at once
        full = await self._enqueue(jobs)
        concluded = [
            _conclusion(event, listeners, full)
            for event, listeners in zip(events, routes, strict=True)
        ]
        self._tell_of(
            event.name
            for event, one in zip(events, concluded, strict=True)
            if one.routing is Routing.UNHANDLED
        )
        return concluded

    def _tell_of(self, unhandled: Iterable[str]) -> None:
        """Log that nobody handles these, each name once."""
        for name in unhandled:
            if name not in self._told:
                if len(self._told) >= MOST_TOLD:
                    self._told.clear()
                self._told.add(name)
                logger.warning("no handler of the event %r: see `upnext events`", name)

    async def _enqueue(self, jobs: Sequence[NewJob]) -> set[str]:
        """Submit jobs; the ids of those that have to be submitted again later."""
        full: set[str] = set()
        for batch in _batches(jobs):
            try:
                answers = await self.store.enqueue(batch)
            except OutOfMemoryError:
                raise  # everybody's trouble: the whole round is tried again
            except ResponseError:
                full |= await self._enqueue_apart(batch)
            else:
                full |= _refused(answers)
        return full

    async def _enqueue_apart(self, jobs: Sequence[NewJob]) -> set[str]:
        """The keys of one function are damaged: the handlers of others go on."""
        full: set[str] = set()
        for function, group in groupby(jobs, lambda job: job.function):
            batch = list(group)
            try:
                full |= _refused(await self.store.enqueue(batch))
            except ResponseError as error:
                logger.error("%d events wait for their handler %s: %s", len(batch), function, error)
                full |= {job.id for job in batch}
        return full


def _job(event: TakenEvent, route: Route) -> NewJob:
    job_id = handler_job_id(route.tag, event.id)
    return NewJob(
        id=job_id,
        function=route.function,
        arguments=event.data,
        deadline=event.deadline,
        parent_id=event.parent_id,
        root_id=event.root_id or job_id,
        source=encode_source(event.name, event.id, route.pattern.text, route.function),
    )


def _batches(jobs: Sequence[NewJob]) -> Iterator[Sequence[NewJob]]:
    start, weight = 0, 0
    for i, job in enumerate(jobs):
        weight += len(job.arguments)
        if i + 1 - start >= MOST_JOBS or weight >= MOST_BYTES:
            yield jobs[start : i + 1]
            start, weight = i + 1, 0
    if start < len(jobs):
        yield jobs[start:]


def _refused(answers: Sequence[Enqueued | JobRefusedError]) -> set[str]:
    """The jobs whose queue was full. One of a cancelled tree is refused for good."""
    return {answer.job_id for answer in answers if isinstance(answer, QueueFullError)}


def _conclusion(event: TakenEvent, listeners: Sequence[Route], full: set[str]) -> Concluded:
    entry, event_id = event.entry, event.id
    if not listeners and not event.done:
        return Concluded(entry=entry, id=event_id, routing=Routing.UNHANDLED)
    done = {route.tag for route in listeners if handler_job_id(route.tag, event_id) not in full}
    if len(done) == len(listeners):
        return Concluded(entry=entry, id=event_id, routing=Routing.ROUTED)
    return Concluded(
        entry=entry, id=event_id, routing=Routing.PARTIAL, done=event.done | frozenset(done)
    )
