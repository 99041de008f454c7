"""A queue in memory, and somebody who runs its jobs when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio.lowlevel
import pytest

from upnext.client.client import Client
from upnext.client.connect import bind
from upnext.client.declarations import TaskDeclarations
from upnext.contracts.codec import encode_failure
from upnext.model.job import Held, Job
from upnext.model.outcome import Ending, Failure, Outcome, Settled
from upnext.testing.memory import MemoryStore
from upnext.worker.worker import Worker


class Hand:
    """Claims and settles by hand what a worker would."""

    def __init__(self, store: MemoryStore, tasks: TaskDeclarations) -> None:
        self.store = store
        self.tasks = tasks

    async def claim(self, *names: str) -> list[Job]:
        wanted = names or self.tasks.tasks
        return (await self.store.claim("hand", [(name, 100) for name in wanted])).jobs

    async def settle(self, job: Job, ending: Ending, **fields: object) -> None:
        held = Held(job.function, job.id, job.delivery)
        answers = await self.store.settle("hand", [Outcome(held=held, ending=ending, **fields)])
        assert answers == [Settled.APPLIED]

    async def complete(self, job: Job) -> None:
        """Run the function and write its result."""
        definition = self.tasks.tasks[job.function].definition
        args, kwargs = definition.arguments.decode(job.arguments)
        value = definition.function(*args, **kwargs)
        if definition.is_async:
            value = await value
        await self.settle(job, Ending.COMPLETE, result=definition.result.encode(value))

    async def fail(self, job: Job, failure: Failure) -> None:
        await self.settle(job, Ending.FAILED, error=encode_failure(failure))

    async def serve(self, count: int) -> None:
        """Complete so many jobs as they come."""

        while count > 0:
            for job in await self.claim():
                await self.complete(job)
                count -= 1
            await anyio.lowlevel.checkpoint()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def client(store: MemoryStore) -> AsyncIterator[Client]:
    with bind(store) as client:
        yield client


@pytest.fixture
def tasks() -> Worker:
    return Worker("test")


@pytest.fixture
def hand(store: MemoryStore, tasks: TaskDeclarations) -> Hand:
    return Hand(store, tasks)
