"""Jobs as the children of a block: leaving it waits for them, and none of them is left alone."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import anyio
from anyio.abc import TaskGroup
from redis.exceptions import RedisError

from upnext.client.client import Client
from upnext.client.connect import connect
from upnext.client.ended import Ended
from upnext.client.ends import Ends
from upnext.client.future import Future
from upnext.client.handle import TaskHandle
from upnext.client.patience import first_look
from upnext.client.result import TaskExecutionError, TaskResult
from upnext.client.submission import time_left
from upnext.errors import CodecError, JobNotFoundError, JobRefusedError
from upnext.model.status import JobStatus
from upnext.tasks.context import current_context

__all__ = ["Group", "Policy", "group"]

P = ParamSpec("P")
T = TypeVar("T")

Policy = Literal["fail_fast", "wait_all", "first_wins"]

ABANDON_LIMIT = 1.0
"""Seconds that a cancelled block takes to cancel its jobs and to see them end. Less than a worker
gives a job to unwind at a hard stop."""

logger = logging.getLogger("upnext.client")


@asynccontextmanager
async def group(
    *, policy: Policy = "fail_fast", max_concurrency: int | None = None
) -> AsyncGenerator[Group]:
    """Submit jobs as children of a block: `async with upnext.group() as g:`.

    Leaving the block waits until all jobs submitted through `g.submit` are over. Inside a job, its
    slot is lent meanwhile. If the block raises or is cancelled, its jobs are cancelled, with all
    that is below them.

    Args:
        policy: "fail_fast": when one fails, the others and the block are cancelled. "wait_all":
            the others go on. "first_wins": when one succeeds, the others and the block are
            cancelled, and its result is `g.first`; failures count only if all fail.
        max_concurrency: Most jobs under way at once: `submit` waits for room; None: no limit.

    Raises:
        ExceptionGroup: the `TaskExecutionError`s of the jobs that failed, and what the block
            raised. Jobs that the group itself cancelled are not in it.
        ValueError: an argument cannot be used.

    Cancelling cancels the jobs; that takes at most a second, and jobs that have not ended by then
    do so without being waited for.
    """
    if policy not in get_args(Policy):
        names = ", ".join(repr(name) for name in get_args(Policy))
        raise ValueError(f"policy must be one of {names}, not {policy!r}")
    if max_concurrency is not None and max_concurrency < 1:
        raise ValueError(f"max_concurrency must be 1 or more, not {max_concurrency!r}")
    made = Group(policy, max_concurrency)
    async with anyio.create_task_group() as listeners:
        made.listeners = listeners
        try:
            try:
                with made.block:
                    yield made
            except Exception as error:  # a nursery's rule: it joins those of the jobs
                made.block_errors.append(error)
                made.stop(f"the block that submitted it raised {type(error).__name__}")
            await made.finish()
        finally:
            await made.abandon()
            listeners.cancel_scope.cancel("the group is over")
    if errors := made.to_raise():
        count = len(errors)
        raise ExceptionGroup(f"{count} error{'' if count == 1 else 's'} in a group", errors)


class Group:
    """The jobs of one block. `upnext.group()` makes it.

    Attributes:
        first: The result of the first job that succeeded, where the first one wins.
        errors: The jobs that failed, in the order in which they did.
        block: The scope of the block.
        block_errors: What the block raised.
        listeners: Where the tasks run that hear of the ends, one for each queue.
    """

    def __init__(self, policy: Policy, max_concurrency: int | None) -> None:
        self.first: TaskResult[Any] | None = None
        self.errors: list[Exception] = []
        self.block = anyio.CancelScope()
        self.block_errors: list[Exception] = []
        self.listeners: TaskGroup | None = None
        self._policy = policy
        self._room = None if max_concurrency is None else anyio.Semaphore(max_concurrency)
        self._ends: dict[Client, Ends] = {}
        self._futures: dict[str, Future[Any]] = {}
        """The jobs that are waited for."""
        self._own: dict[str, Client] = {}
        """The jobs to cancel: submitted here, perhaps accepted, not known to be over."""
        self._told: set[str] = set()
        """Those of them that were told already."""
        self._why: str | None = None
        self._closed = False
        self._changed = anyio.Event()

    async def submit(self, task: TaskHandle[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit a job as a child of the block; it calls the task's function with these arguments.

        It gets no more time than the block has (`anyio.fail_after`, or the deadline of the job
        around). With an idempotency key that another job holds, that one is waited for, but never
        cancelled from here.

        Returns:
            The job, once the queue has it.

        Raises:
            RuntimeError: the block was left, or is being cancelled.
            TypeError: the function cannot be called like this.
            CodecError: an argument cannot be written as JSON.
            JobRefusedError: the queue did not accept it; QueueFullError when it is full.
            redis.exceptions.RedisError: the queue cannot be reached, or refused the command.
        """
        self._check_open()
        client = await connect(task.url)
        ends = await self._ends_of(client)
        if self._room is not None:
            async with _lent_slot(self._futures):
                await self._room.acquire()
        try:
            self._check_open()
            job = task.job(args, kwargs, waiter=client.channel, budget=time_left())
            future = task.future(job.id)
            self._futures[job.id], self._own[job.id] = future, client
            ends.expect(job.id, first_look(job))
        except BaseException:
            self._make_room()
            raise
        try:
            answer = await client.submit(job)
        except BaseException as error:
            if isinstance(error, JobRefusedError):
                del self._own[job.id]
            self._leave_out(job.id, ends)
            raise
        if answer.id == job.id:
            return future
        del self._own[job.id]
        self._leave_out(job.id, ends)
        return await self._join(task.future(answer.id), ends)

    async def _join(self, future: Future[T], ends: Ends) -> Future[T]:
        """Wait for a job that holds the idempotency key of one that was to be submitted."""
        if future.job_id in self._futures:
            return self._futures[future.job_id]
        if self._room is not None:
            async with _lent_slot(self._futures):
                await self._room.acquire()
        self._futures[future.job_id] = future
        # Its end may have been told before we knew what to listen for.
        ends.expect(future.job_id, 0.0)
        return future

    def _leave_out(self, job_id: str, ends: Ends) -> None:
        """Do not wait for this one."""
        ends.forget(job_id)
        if self._futures.pop(job_id, None) is not None:
            self._make_room()
            self._changed.set()

    def stop(self, why: str) -> None:
        """Cancel the block and, soon, all of its jobs that are not over."""
        if self._why is None:
            self._why = why
            self.block.cancel(why)

    async def finish(self) -> None:
        """The block is left: wait for its jobs."""
        self._closed = True
        if self._why is not None:  # the listeners do it as well, if anything is heard
            try:
                await self._cancel(self._why)
            except RedisError as error:
                self._give_up(error)
        if self._futures:
            async with _lent_slot(self._futures):
                while self._futures:
                    self._changed = anyio.Event()
                    await self._changed.wait()

    def to_raise(self) -> list[Exception]:
        """What the block has to raise."""
        errors = [] if self.first is not None else self.errors
        known = {error.job_id for error in errors if isinstance(error, TaskExecutionError)}
        for error in self.block_errors:
            if not (isinstance(error, TaskExecutionError) and error.job_id in known):
                errors = [*errors, error]  # not what it was told of a job that is listed already
        return errors

    async def abandon(self) -> None:
        """The block is being left while jobs of it are not over: it was cancelled."""
        self._closed = True
        if not self._own:
            return
        with anyio.move_on_after(ABANDON_LIMIT, shield=True):
            try:
                await self._cancel(self._why or "the block that submitted it was cancelled")
                await self._see_them_end()
            except (RedisError, JobNotFoundError) as error:
                logger.warning("cannot see to %d jobs of a group: %s", len(self._own), error)

    async def _see_them_end(self) -> None:
        # The listeners may be cancelled by now.
        for client in self._ends:
            ends = await client.ends()
            try:
                for job_id, owner in self._own.items():
                    if owner is client and job_id in self._futures:
                        ends.expect(job_id, 0.0)
                while ends.pending:
                    await ends.next()
            finally:
                ends.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this group is closed: submit inside its `async with` block")
        if self._why is not None:
            raise RuntimeError(f"this group is being cancelled: {self._why}")

    async def _ends_of(self, client: Client) -> Ends:
        if client not in self._ends:
            ends = await client.ends()
            if client not in self._ends and self.listeners is not None:
                self._ends[client] = ends
                self.listeners.start_soon(self._listen, ends)
        return self._ends[client]

    async def _listen(self, ends: Ends) -> None:
        try:
            while True:
                for ended in await ends.next():
                    self._over(ended)
                if self._why is not None:
                    await self._cancel(self._why)
        except (RedisError, JobNotFoundError) as error:
            self._give_up(error)
        finally:
            ends.close()

    def _give_up(self, error: Exception) -> None:
        """Nothing is known of the jobs any more, so nothing can be waited for."""
        self.errors.append(error)
        self.stop(f"the group cannot hear of its jobs: {type(error).__name__}")
        self._futures.clear()
        self._changed.set()

    def _over(self, ended: Ended) -> None:
        """A job ended: what does that mean for the others?"""
        future = self._futures.pop(ended.id, None)
        self._own.pop(ended.id, None)
        if future is None:
            return  # it was left out, or all were given up, before its end was heard
        self._make_room()
        self._changed.set()
        future.keep(ended)
        try:
            result = future.result_as(ended)
        except (TaskExecutionError, CodecError) as error:
            if ended.id in self._told and ended.status is not JobStatus.FAILED:
                return  # by us
            self.errors.append(error)
            if self._policy == "fail_fast":
                self.stop(f"another job of its group did not complete: {ended.id}")
        else:
            if self._policy == "first_wins" and self.first is None and self._why is None:
                self.first = result
                self.stop(f"another job of its group was first: {ended.id}")

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.release()

    async def _cancel(self, why: str) -> None:
        """Cancel all jobs that were not told yet, with all that is below them."""
        for client, ids in _by_client(self._own, self._told).items():
            # Before they are told: their ends may be heard before the answer.
            self._told.update(ids)
            sent = False
            try:
                await client.store.cancel_trees(ids, why)
                sent = True
            finally:
                if not sent:
                    self._told.difference_update(ids)


def _by_client(jobs: dict[str, Client], told: Iterable[str]) -> dict[Client, list[str]]:
    ids: dict[Client, list[str]] = {}
    for job_id, client in jobs.items():
        if job_id not in told:
            ids.setdefault(client, []).append(job_id)
    return ids


def _lent_slot(jobs: Iterable[str]) -> AbstractAsyncContextManager[None]:
    """Where the job around waits for these: its slot is somebody else's meanwhile."""
    context = current_context.get(None)
    lender = None if context is None else context.lender
    return nullcontext() if lender is None else lender.lend(tuple(jobs))
