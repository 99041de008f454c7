"""Waits for many jobs at once, in one task."""

from __future__ import annotations

import heapq

import anyio

from upnext.client.ended import Ended
from upnext.client.patience import next_look
from upnext.client.ports import Lookout
from upnext.client.waits import Waits
from upnext.errors import JobNotFoundError
from upnext.redis.waiter import Waiter


class Ends(Waiter):
    """Owns the set of jobs that one task waits for, however many. Made by `Client.ends`.

    They share the client's one subscription. Close it when it is not needed any more.
    """

    __slots__ = ("_channel", "_doubtful", "_heard", "_looks", "_pending", "_store", "_waits")

    def __init__(self, store: Lookout, channel: str, waits: Waits) -> None:
        super().__init__()
        self._store = store
        self._channel = channel
        self._waits = waits
        self._pending: set[str] = set()
        self._heard: list[Ended] = []
        self._looks: list[tuple[float, str]] = []
        self._doubtful = False

    @property
    def pending(self) -> frozenset[str]:
        """The jobs that are not over, as far as is known."""
        return frozenset(self._pending)

    def expect(self, job_id: str, look_in: float | None = None) -> None:
        """Wait for this job, too.

        Args:
            job_id: The job.
            look_in: Seconds after which its record is looked at unbidden; None: never.
        """
        if job_id not in self._pending:
            self._pending.add(job_id)
            self._waits.join(self, job_id)
        if look_in is not None:
            heapq.heappush(self._looks, (anyio.current_time() + look_in, job_id))
            self.wake()

    def forget(self, job_id: str) -> None:
        """Do not wait for this job any more."""
        self._pending.discard(job_id)
        self._waits.drop(self, job_id)

    def hear(self, ended: Ended) -> None:
        """A job ended."""
        if ended.id in self._pending:
            self._pending.remove(ended.id)
            self._heard.append(ended)
            self.wake()

    def doubt(self) -> None:
        """Notices may have been missed."""
        self._doubtful = True
        self.wake()

    async def next(self) -> list[Ended]:
        """Return when some of the jobs ended: which, and how.

        Raises:
            JobNotFoundError: there is no record of one.
            redis.exceptions.RedisError: the queue cannot be reached.
        """
        while not self._heard:
            self.done = False
            for job_id in self._due():
                await self._look(job_id)
            if not self._heard:
                left = self._looks[0][0] - anyio.current_time() if self._looks else None
                with anyio.move_on_after(left):
                    await self._store.attend(self)
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Wait for nothing any more."""
        for job_id in self._pending:
            self._waits.drop(self, job_id)
        self._pending.clear()

    def _due(self) -> list[str]:
        now, due = anyio.current_time(), list[str]()
        while self._looks and self._looks[0][0] <= now:
            due.append(heapq.heappop(self._looks)[1])
        if self._doubtful:
            self._doubtful, due = False, sorted(self._pending)
        return due

    async def _look(self, job_id: str) -> None:
        if job_id not in self._pending:
            return
        record = await self._store.watch(job_id, self._channel)
        if job_id not in self._pending:
            return
        if record is None:
            self.forget(job_id)
            raise JobNotFoundError(job_id)
        if record.status.is_terminal():
            self._waits.drop(self, job_id)
            self.hear(Ended.of_record(record))
        elif (left := next_look(record)) is not None:
            heapq.heappush(self._looks, (anyio.current_time() + left, job_id))
