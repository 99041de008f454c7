"""`upnext.dead_letters`: look at jobs that failed for good, replay them, or throw them away."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from upnext.client import sync
from upnext.client.connect import connect
from upnext.client.future import Future
from upnext.client.handle import TaskHandle
from upnext.client.letters import (
    Chosen,
    DeadLetter,
    DeadLetterPage,
    Plan,
    ReplayCount,
    getting,
    listing,
    purging,
    purging_all,
    replaying,
    replaying_all,
)
from upnext.client.ports import BlockingQueue, Queue

__all__ = ["DeadLetter", "DeadLetterPage", "DeadLetters", "ReplayCount", "dead_letters"]

R = TypeVar("R")

Task = str | TaskHandle[..., Any]


class DeadLetters:
    """The dead letters of one queue: `upnext.dead_letters` is those of the settings' queue.

    Args:
        redis_url: The server; None: UPNEXT_REDIS_URL, else the embedded server.

    Every method raises `redis.exceptions.RedisError` when the queue cannot be reached.
    """

    def __init__(self, redis_url: str | None = None) -> None:
        self.redis_url = redis_url

    async def list(
        self,
        function: Task | None = None,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> DeadLetterPage:
        """A page of dead letters, by function, and the latest first.

        Args:
            function: Of this task only, or of the one with this name.
            reason: With this `FailureReason` only, or with this text in the error.
            since: Not older than this; with a time zone.
            until: Not younger than this; with a time zone.
            limit: Most of them.
            cursor: The page behind the one that gave this.

        Raises:
            ValueError: a time without a zone, a limit below 1, or no cursor.
        """
        chosen = Chosen.of(_name(function), reason, since, until)
        return await self._follow(listing(chosen, limit, cursor))

    async def get(self, job_id: str) -> DeadLetter:
        """One dead letter, with all of its data.

        Raises:
            DeadLetterNotFoundError: this job is none (any more).
            ValueError: this is not a job id.
        """
        return await self._follow(getting(job_id))

    async def replay(self, job_id: str) -> Future[Any]:
        """Make a new job of a dead letter, which is none any more: one step, all or nothing.

        The new job has its arguments, priority and idempotency key, and all attempts before it;
        its `source` names the old one. A letter that was replayed before gives the future of the
        job that was made then, so calling again is safe.

        Raises:
            DeadLetterNotFoundError: this job is none (any more).
            JobRefusedError: another job has its key and is not over; or the queue is full.
            ValueError: this is not a job id.
        """
        return self._future(await self._follow(replaying(job_id)))

    async def replay_all(
        self,
        function: Task | None = None,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> ReplayCount:
        """Replay all that are meant; the arguments are those of `list`.

        Raises:
            QueueFullError: the queue is full; a note says how many were replayed.

        Cancelled or failed half way, some were replayed; calling again goes on with the rest.
        """
        return await self._follow(replaying_all(Chosen.of(_name(function), reason, since, until)))

    async def purge(self, job_id: str) -> bool:
        """Delete a dead letter, with its record; whether it was there."""
        return await self._follow(purging(job_id))

    async def purge_all(
        self,
        function: Task | None = None,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """Delete all that are meant, and count them; the arguments are those of `list`."""
        return await self._follow(purging_all(Chosen.of(_name(function), reason, since, until)))

    def list_sync(
        self,
        function: Task | None = None,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> DeadLetterPage:
        """`list` for code that does not await. Blocks the thread."""
        chosen = Chosen.of(_name(function), reason, since, until)
        return self._follow_sync(listing(chosen, limit, cursor))

    def get_sync(self, job_id: str) -> DeadLetter:
        """`get` for code that does not await. Blocks the thread."""
        return self._follow_sync(getting(job_id))

    def replay_sync(self, job_id: str) -> Future[Any]:
        """`replay` for code that does not await. Blocks the thread."""
        return self._future(self._follow_sync(replaying(job_id)))

    def replay_all_sync(
        self,
        function: Task | None = None,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> ReplayCount:
        """`replay_all` for code that does not await. Blocks the thread."""
        chosen = Chosen.of(_name(function), reason, since, until)
        return self._follow_sync(replaying_all(chosen))

    def purge_sync(self, job_id: str) -> bool:
        """`purge` for code that does not await. Blocks the thread."""
        return self._follow_sync(purging(job_id))

    def purge_all_sync(
        self,
        function: Task | None = None,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """`purge_all` for code that does not await. Blocks the thread."""
        chosen = Chosen.of(_name(function), reason, since, until)
        return self._follow_sync(purging_all(chosen))

    def _future(self, job_id: str) -> Future[Any]:
        return Future(job_id, None, self)

    async def _follow(self, plan: Plan[R]) -> R:
        client = await connect(self.redis_url)
        return await follow(plan, client.store)

    def _follow_sync(self, plan: Plan[R]) -> R:
        if sync.must_await():
            return sync.through_loop(lambda: self._follow(plan))
        return follow_blocking(plan, sync.blocking_client(self.redis_url).store)


async def follow(plan: Plan[R], store: Queue) -> R:
    """Do what a plan says, one step after another."""
    try:
        verb, args = next(plan)
        while True:
            answer = await getattr(store, verb)(*args)
            verb, args = plan.send(answer)
    except StopIteration as end:
        return end.value
    finally:
        plan.close()


def follow_blocking(plan: Plan[R], store: BlockingQueue) -> R:
    """Do what a plan says, blocking the thread."""
    try:
        verb, args = next(plan)
        while True:
            verb, args = plan.send(getattr(store, verb)(*args))
    except StopIteration as end:
        return end.value
    finally:
        plan.close()


def _name(function: Task | None) -> str | None:
    return function.name if isinstance(function, TaskHandle) else function


dead_letters = DeadLetters()
"""Those of the queue that the settings name, or of the `bind` block around."""
