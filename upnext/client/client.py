"""One event loop's way to one queue: submit jobs, and hear how they end."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

import anyio

from upnext.client.ended import Ended
from upnext.client.ends import Ends
from upnext.client.gathering import Gathering
from upnext.client.patience import first_look, next_look
from upnext.client.ports import Ear, Queue
from upnext.client.waits import Wait, Waits
from upnext.errors import JobNotFoundError, JobRefusedError
from upnext.model.identity import new_worker_id
from upnext.model.job import Enqueued, NewJob
from upnext.tasks.context import current_context

LEAST = 1.0
"""Seconds that the look at a job may take, whatever time there is to wait for its end."""


class Client:
    """Submits jobs and waits for their end. Belongs to one event loop.

    Waiting costs nothing but memory: all waits share one subscription, on which the queue tells
    how each job ended. Nobody asks again and again, and nothing runs in the background.

    Attributes:
        store: The queue.
        channel: Where the queue tells this client how jobs ended.
    """

    def __init__(self, store: Queue) -> None:
        self.store = store
        self.channel: str = store.keys.waiter_channel(new_worker_id("client"))
        self._gathering = Gathering(store)
        self._waits = Waits()
        self._ear: Ear | None = None
        self._heard = False

    @property
    def waiting(self) -> int:
        """How many callers wait for a job."""
        return len(self._waits)

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Submit jobs in one write; one answer each, in order."""
        return await self.store.enqueue(jobs)

    def submit(self, job: NewJob) -> Coroutine[Any, Any, Enqueued]:
        """Submit one job; await it at once.

        Raises:
            JobRefusedError: the queue did not accept it.
            redis.exceptions.RedisError: the queue cannot be reached, or refused the command.
        """
        return self._gathering.submit(job)

    async def run(self, job: NewJob, timeout: float | None = None) -> Ended:
        """Submit one job and wait until it ends: one round trip and one push.

        Args:
            job: The job, with this client's `channel` as its waiter. Where another job holds its
                idempotency key, that one is waited for.
            timeout: Seconds to wait, once it is submitted; None: until it ends.

        Raises:
            TimeoutError: it did not end in time; it goes on.
            JobRefusedError: the queue did not accept it.
            redis.exceptions.RedisError: the queue cannot be reached, or refused the command.

        Cancelling stops the waiting, not the job.
        """
        self._listen()
        # Listed before it is submitted: the push may come before the reply.
        wait, job_id = self._waits.add(job.id), job.id
        wait.look_in = first_look(job)
        if (noted := waited_for.get()) is not None:
            noted[job_id] = self
        try:
            answer = await self.submit(job)
            await self._confirm()
            if answer.id != job_id:
                # Its end may have been told before we knew what to listen for.
                self._waits.move(wait, job_id, answer.id)
                job_id = answer.id
                wait.wake()
                if noted is not None:
                    del noted[job.id]  # it is somebody else's
            ended = await self._until_ended(wait, job_id, timeout)
            return ended if ended.function else ended.of_job(job)
        finally:
            self._waits.drop(wait, job_id)

    async def end_of(self, job_id: str, timeout: float | None = None) -> Ended:
        """Wait until a job ends that was submitted before.

        Args:
            job_id: The job.
            timeout: Seconds to wait; None: until it ends.

        Raises:
            JobNotFoundError: there is no record of it, or this is not a job id.
            TimeoutError: it did not end in time; it goes on.
            redis.exceptions.RedisError: the queue cannot be reached, or refused the command.

        Cancelling stops the waiting, not the job.
        """
        self._listen()
        wait = self._waits.add(job_id)
        began = anyio.current_time()
        try:
            # A look is had however short the time is, and a silent server has no longer.
            with anyio.move_on_after(None if timeout is None else max(timeout, LEAST)):
                if ended := await self._look(wait, job_id):
                    return ended
                await self._confirm()
            return await self._until_ended(wait, job_id, timeout, anyio.current_time() - began)
        finally:
            self._waits.drop(wait, job_id)

    async def ends(self) -> Ends:
        """Hear the ends of many jobs at once, submitted with this client's `channel` as waiter.

        Raises:
            redis.exceptions.RedisError: the queue cannot be reached, or lets nobody listen.
        """
        self._listen()
        await self._confirm()
        return Ends(self.store, self.channel, self._waits)

    def close(self) -> None:
        """Stop listening. Those who still wait are not told of anything any more."""
        if self._ear is not None:
            self._ear.close()
            self._ear = None
            self._heard = False

    def _listen(self) -> None:
        if self._ear is None:
            self._ear = self.store.subscribe(self.channel, self._waits.end, self._waits.doubt)

    async def _confirm(self) -> None:
        """See once that the server lets us listen; it has answered a later command already."""
        if not self._heard and self._ear is not None:
            await self._ear.ready()
            self._heard = True

    async def _until_ended(
        self, wait: Wait, job_id: str, timeout: float | None, waited: float = 0.0
    ) -> Ended:
        context = current_context.get(None)
        lender = None if context is None else context.lender
        # The slot is lent outside the time limit, whose end must not keep us from taking one back.
        async with nullcontext() if lender is None else lender.lend((job_id,)):
            with anyio.move_on_after(None if timeout is None else timeout - waited):
                return await self._attend(wait, job_id)
        if wait.ended is not None:
            return wait.ended
        raise TimeoutError(f"job {job_id} did not end within {timeout:g} s; it goes on")

    async def _attend(self, wait: Wait, job_id: str) -> Ended:
        while True:
            if wait.look_in is None:
                await self.store.attend(wait)
            else:
                with anyio.move_on_after(wait.look_in):
                    await self.store.attend(wait)
            if wait.ended is not None:
                return wait.ended
            wait.done = False
            if ended := await self._look(wait, job_id):
                return ended

    async def _look(self, wait: Wait, job_id: str) -> Ended | None:
        record = await self.store.watch(job_id, self.channel)
        if wait.ended is not None:
            return wait.ended
        if record is None:
            raise JobNotFoundError(job_id)
        wait.record, wait.look_in = record, next_look(record)
        return Ended.of_record(record) if record.status.is_terminal() else None


waited_for: ContextVar[dict[str, Client] | None] = ContextVar("upnext_waited_for", default=None)
"""Where a helper that may have to cancel them has the jobs noted that are submitted and waited for
in one call; job id -> its queue's client."""
