"""Events, routers, and a store that fails when it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import anyio
from redis.exceptions import ConnectionError as LostConnectionError

from upnext.contracts.handlers import encode_handler
from upnext.errors import JobRefusedError
from upnext.model.event import Concluded, NewEvent
from upnext.model.identity import handler_job_id, new_event_id
from upnext.model.job import Enqueued, NewJob
from upnext.testing.memory import MemoryStore
from upnext.worker.scheduling.event_router import MOST_LEASE, SWEEP_INTERVAL, EventRouter

HANDLERS = {
    "audit": encode_handler("**"),
    "mail": encode_handler("order.*"),
    "stock": encode_handler("order.paid"),
}
LATE = 2 * SWEEP_INTERVAL + MOST_LEASE / 1000
"""Seconds after which all that a dead router held has been taken over."""


def event(name: str = "order.paid", **fields: Any) -> NewEvent:
    return NewEvent(id=new_event_id(), name=name, data=b'{"n":1}', **fields)


def router(store: Any, worker: str = "r1", handlers: Any = None) -> EventRouter:
    return EventRouter(store, worker, HANDLERS if handlers is None else handlers, MOST_LEASE)


def wake_by(store: MemoryStore, made: EventRouter) -> None:
    """What the canceller does."""
    channel = store.keys.worker_channel(made.worker)
    store.subscribe(channel, lambda _: void(made.note()), lambda: None)


def void(_: object) -> None: ...


def jobs(store: MemoryStore) -> list[str]:
    return [job.id for queue in store.queues.values() for job in queue.jobs.values()]


def wanted(*events: NewEvent, functions: Sequence[str] = tuple(HANDLERS)) -> list[str]:
    return sorted(handler_job_id(name, one.id) for one in events for name in functions)


async def run(store: MemoryStore, seconds: float, *routers: EventRouter) -> None:
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for one in routers:
                wake_by(store, one)
                group.start_soon(one.run)


class Faulty(MemoryStore):
    """Fails, stalls or dies at chosen calls, before or after they took effect.

    Attributes:
        faults: Verb -> what to do at its next calls: an error to raise, or something to call;
            None: nothing.
        after: The call takes effect, and only its answer is lost.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.faults: dict[str, list[Any]] = {}
        self.after = False
        self.calls: Counter[str] = Counter()

    async def _with_fault(self, verb: str, call: Callable[[], Any]) -> Any:
        self.calls[verb] += 1
        faults = self.faults.get(verb)
        fault = faults.pop(0) if faults else None
        answer = await call() if fault is None or self.after else None
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            await fault()
            if not self.after:
                raise LostConnectionError("gone")
        return answer

    async def take(self, *args: Any, **how: Any) -> Any:
        return await self._with_fault("take", lambda: MemoryStore.take(self, *args, **how))

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        return await self._with_fault("enqueue", lambda: MemoryStore.enqueue(self, jobs))

    async def conclude(self, worker: str, concluded: Sequence[Concluded]) -> list[bool]:
        call = lambda: MemoryStore.conclude(self, worker, concluded)  # noqa: E731
        return await self._with_fault("conclude", call)
