"""A store under test, and what a test may do to it besides calling its verbs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import redis

from tests.support.clocked import START, ClockedServer
from tests.support.events import read_events
from upnext.contracts.keys import GROUP, Keys
from upnext.model.identity import new_job_id
from upnext.model.job import Held, Job, JobRecord, NewJob, Rescued
from upnext.model.outcome import Ending, Outcome
from upnext.redis.link import Link
from upnext.redis.url import Address
from upnext.store.bounds import Bounds
from upnext.store.store import Store
from upnext.testing.memory import MemoryStore

KEYS = Keys("conformance")


class Subject(Protocol):
    """One store in one test."""

    @property
    def store(self) -> Store:
        """The store; the memory store has the same verbs."""
        ...

    def rebind(self, **bounds: int) -> Store:
        """The same queue seen through a store with other bounds."""
        ...

    @property
    def now(self) -> int:
        """The store's time, Unix milliseconds; may be a few milliseconds behind it."""
        ...

    def advance(self, milliseconds: int) -> None:
        """Let time pass for the store, or set its clock back."""
        ...

    def events(self, function: str = "work") -> list[dict[str, bytes]]:
        """What the function's event stream holds."""
        ...

    def in_lanes(self, function: str = "work") -> int:
        """How many entries the function's lanes hold, waiting and claimed ones."""
        ...

    def lives_for(self, job_id: str) -> int | None:
        """Milliseconds until a job's record goes; None: never."""
        ...


class MemorySubject:
    """The memory store on a clock of the test's."""

    def __init__(self) -> None:
        self.now = START
        self._memory = MemoryStore(KEYS, clock=lambda: self.now)

    @property
    def store(self) -> Any:
        return self._memory

    def rebind(self, **bounds: int) -> Any:
        self._memory.bounds = Bounds(**bounds)
        for queue in self._memory.queues.values():
            queue.bounds = self._memory.bounds
        return self._memory

    def advance(self, milliseconds: int) -> None:
        self.now += milliseconds

    def events(self, function: str = "work") -> list[dict[str, bytes]]:
        return [
            {
                name: value if isinstance(value, bytes) else str(value).encode()
                for name, value in event.items()
            }
            for event in self._queue(function).events
        ]

    def in_lanes(self, function: str = "work") -> int:
        queue = self._queue(function)
        return len(queue.lanes) + len(queue.held())

    def lives_for(self, job_id: str) -> int | None:
        expires = self._memory.queues[KEYS.of_job(job_id)].jobs[job_id].expires
        return None if expires is None else expires - self.now

    def _queue(self, function: str) -> Any:
        return self._memory.queues[KEYS.function(function)]


class ServerSubject:
    """The real store on a real server whose clock is the test's."""

    def __init__(self, server: ClockedServer, link: Link, client: redis.Redis) -> None:
        self.server = server
        self.client = client
        self._link = link
        self.store = Store(link, KEYS, Bounds())

    @classmethod
    @asynccontextmanager
    async def on(cls, server: ClockedServer) -> AsyncIterator[ServerSubject]:
        """A store on an emptied server."""
        link = Link(Address.parse(server.url))
        with server.client() as client:
            client.flushall()
            try:
                yield cls(server, link, client)
            finally:
                await link.aclose()

    def rebind(self, **bounds: int) -> Store:
        return Store(self._link, KEYS, Bounds(**bounds))

    @property
    def now(self) -> int:
        return self.server.now

    def advance(self, milliseconds: int) -> None:
        self.server.advance(milliseconds)

    def events(self, function: str = "work") -> list[dict[str, bytes]]:
        return [
            {name.decode(): value for name, value in event.items()}
            for _, events in read_events(self.client, KEYS.function(function))
            for event in events
        ]

    def in_lanes(self, function: str = "work") -> int:
        lanes = self.lanes(function)
        pending = sum(self.client.xpending(lane, GROUP)["pending"] for lane in lanes)
        held = sum(self.client.xlen(lane) for lane in lanes)
        assert pending <= held, "a delivered entry was deleted without being acknowledged"
        return held

    def lanes(self, function: str = "work") -> list[str]:
        """The keys of the lanes, in claim order."""
        prefix = KEYS.function(function)
        names: list[bytes] = self.client.zrevrangebyscore(prefix + "lanes", 900, "-inf")
        return [f"{prefix}lane:{name.decode()}" for name in names]

    def lives_for(self, job_id: str) -> int | None:
        ttl = self.client.pttl(KEYS.job(job_id))
        assert ttl != -2, "there is no record"
        return None if ttl == -1 else ttl


def new(function: str = "work", **fields: Any) -> NewJob:
    """A job to submit."""
    fields.setdefault("arguments", b"{}")
    return NewJob(id=new_job_id(function), function=function, **fields)


def outcome(job: Job, ending: Ending = Ending.COMPLETE, **fields: Any) -> Outcome:
    """How an attempt at a claimed job ended."""
    return Outcome(held=held(job), ending=ending, **fields)


def held(job: Job) -> Held:
    return Held(job.function, job.id, job.delivery)


async def submit(store: Store, *jobs: NewJob) -> None:
    """Submit jobs that are to be accepted."""
    answers = await store.enqueue(jobs)
    assert [getattr(answer, "created", answer) for answer in answers] == [True] * len(jobs)


async def claim(store: Store, worker: str = "w1", count: int = 1, name: str = "work") -> list[Job]:
    claimed = await store.claim(worker, [(name, count)])
    return claimed.jobs


async def claim_one(store: Store, worker: str = "w1") -> Job:
    [job] = await claim(store, worker)
    return job


async def record_of(store: Store, job_id: str) -> JobRecord:
    record = await store.lookup(job_id)
    assert record is not None
    return record


async def rescue(
    store: Store, lease: int, *, worker: str = "rescuer", name: str = "work"
) -> Rescued:
    """A rescue that arrives as soon as it was asked for."""
    return await store.rescue(worker, [name], lease, await store.now())
