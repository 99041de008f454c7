"""What a client needs of the store.

`upnext.store.Store` has it on Redis, `upnext.testing.MemoryStore` without sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from upnext.contracts.keys import Keys
from upnext.errors import JobRefusedError
from upnext.model.job import Enqueued, JobRecord, NewJob
from upnext.redis.waiter import Waiter
from upnext.store.cancel import CancelledTree, CancelVerdict


class Ear(Protocol):
    """An open subscription."""

    async def ready(self) -> None: ...
    def close(self) -> None: ...


class Lookout(Protocol):
    """What a wait needs."""

    async def watch(self, job_id: str, channel: str) -> JobRecord | None: ...
    async def attend(self, waiter: Waiter) -> None: ...


class Queue(Lookout, Protocol):
    """The verbs that callers use."""

    @property
    def keys(self) -> Keys: ...
    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]: ...
    async def cancel(self, job_id: str, reason: str) -> CancelVerdict: ...
    async def cancel_trees(self, job_ids: Sequence[str], reason: str) -> list[CancelledTree]: ...
    async def survey(self, job_id: str) -> list[str]: ...
    async def lookup(self, job_id: str) -> JobRecord | None: ...
    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Ear: ...


class Origin(Protocol):
    """Whoever declared a task and says where its queue is: a worker."""

    @property
    def redis_url(self) -> str | None: ...
