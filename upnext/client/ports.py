"""What a client needs of the store.

`upnext.store.Store` has it on Redis, `upnext.testing.MemoryStore` without sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from upnext.contracts.keys import Keys
from upnext.errors import EventRefusedError, JobRefusedError
from upnext.model.event import NewEvent, Sent
from upnext.model.job import Enqueued, JobRecord, NewJob
from upnext.redis.waiter import Waiter
from upnext.store.cancel import CancelVerdict


class Ear(Protocol):
    """An open subscription."""

    async def ready(self) -> None: ...
    def close(self) -> None: ...


class Queue(Protocol):
    """The verbs that callers use."""

    @property
    def keys(self) -> Keys: ...
    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]: ...
    async def send(self, events: Sequence[NewEvent]) -> list[Sent | EventRefusedError]: ...
    async def cancel(self, job_id: str, reason: str) -> CancelVerdict: ...
    async def lookup(self, job_id: str) -> JobRecord | None: ...
    async def watch(self, job_id: str, channel: str) -> JobRecord | None: ...
    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Ear: ...
    async def attend(self, waiter: Waiter) -> None: ...


class Hearing(Protocol):
    """An open subscription for code that does not await."""

    def hear(self, seconds: float) -> bytes | None: ...


class BlockingQueue(Protocol):
    """The verbs that callers use who do not await."""

    @property
    def keys(self) -> Keys: ...
    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]: ...
    def send(self, events: Sequence[NewEvent]) -> list[Sent | EventRefusedError]: ...
    def cancel(self, job_id: str, reason: str) -> CancelVerdict: ...
    def lookup(self, job_id: str) -> JobRecord | None: ...
    def watch(self, job_id: str, channel: str) -> JobRecord | None: ...
    def listen(self, channel: str) -> AbstractContextManager[Hearing]: ...
    def close(self) -> None: ...


class Origin(Protocol):
    """Whoever declared a task and says where its queue is: a worker."""

    @property
    def redis_url(self) -> str | None: ...
