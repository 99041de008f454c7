"""A job that was submitted, seen by whoever submitted it."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any, Generic, TypeVar

from upnext.client import sync
from upnext.client.connect import connect
from upnext.client.ended import Ended
from upnext.client.following import Log, Output, ProgressOf
from upnext.client.ports import Origin
from upnext.client.result import TaskResult, result_of
from upnext.errors import JobNotFoundError
from upnext.model.report import LogLine, Progress
from upnext.model.status import JobStatus
from upnext.tasks.definition import TaskDefinition

T = TypeVar("T")


class Future(Generic[T]):
    """A job, by its id. `task.submit()` makes one; so can anyone who kept the id.

    It holds no connection: it may outlive an event loop, or be used from another one.

    Args:
        job_id: The job.
        definition: Its task, whose annotations say how to read its value; None: as JSON made it.
        origin: Whose queue it is in; None: what the settings say.
    """

    __slots__ = ("_definition", "_ended", "_origin", "job_id")

    def __init__(
        self,
        job_id: str,
        definition: TaskDefinition | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.job_id = job_id
        self._definition = definition
        self._origin = origin
        self._ended: Ended | None = None

    async def result(self, timeout: float | None = None) -> TaskResult[T]:
        """Wait until the job ends. Inside a job, its slot is lent meanwhile.

        Args:
            timeout: Seconds to wait; None: until it ends.

        Raises:
            TimeoutError: it did not end in time; it goes on.
            TaskTimeoutError: it failed by its own timeout.
            TaskExecutionError: it failed, was cancelled, or its deadline passed.
            JobNotFoundError: there is no record of it (any more), or this is no job id.
            CodecError: its value is not what the function's annotation says.
            redis.exceptions.RedisError: the queue cannot be reached.

        Cancelling stops the waiting, not the job.
        """
        ended = self._ended
        if ended is None:
            client = await connect(self.url)
            ended = await client.end_of(self.job_id, timeout)
        return self.result_as(ended)

    async def value(self, timeout: float | None = None) -> T:
        """Wait until the job ends, and return what its function returned. Raises as `result`."""
        return (await self.result(timeout)).value

    async def status(self) -> JobStatus:
        """Where the job stands now.

        CANCELLING is a running job whose cancellation was asked for. Its function unwinds, or is
        over and waits for the jobs below it: `unfinished()` names those.

        Raises:
            JobNotFoundError: there is no record of it (any more), or this is no job id.
            redis.exceptions.RedisError: the queue cannot be reached.
        """
        client = await connect(self.url)
        record = await client.store.watch(self.job_id, "")
        if record is None:
            raise JobNotFoundError(self.job_id)
        return record.state

    async def unfinished(self) -> list[str]:
        """The ids of the jobs below this one that are not over: those it submitted, and so on.

        Raises:
            redis.exceptions.RedisError: the queue cannot be reached.
        """
        client = await connect(self.url)
        return await client.store.living(self.job_id)

    async def cancel(self, reason: str | None = None, *, tree: bool = True) -> bool:
        """Cancel the job and all jobs below it: those it submitted, those they submitted, ...

        Waiting ones are over at once; running ones are cancelled through their workers; new ones
        are refused. A running job is `cancelled` when those below it are over. Returns when the
        cancellation was passed on, not when it took effect: `result()` waits for that.

        Args:
            reason: Why, in words; kept with the jobs.
            tree: False leaves the jobs below it alone.

        Returns:
            False when all of it is over already, or there is no such job.

        Raises:
            redis.exceptions.RedisError: the queue cannot be reached.

        Cancelled on its way, it may have reached only a part; of a running job its worker sees to
        the rest.
        """
        client = await connect(self.url)
        if not tree:
            return (await client.store.cancel(self.job_id, reason or "")).reached
        (cancelled,) = await client.store.cancel_trees((self.job_id,), reason or "")
        return cancelled.reached

    def progress(self) -> ProgressOf:
        """Hear how far the job is: `async for progress in future.progress()`.

        The newest at first, then whenever there is news; ends with the job. Raises as `stream`.
        """
        return ProgressOf(self.job_id, self.url)

    def logs(self, after: str = "", *, follow: bool = True) -> Log:
        """Read the job's log: `async for line in future.logs()`.

        Args:
            after: Go on behind this `position` of an earlier reader; '': from the beginning.
            follow: Go on until the job is over; False: read what there is.

        Raises as `stream`; lines that are not kept any more show in `LogLine.missing`.
        """
        return Log(self.job_id, self.url, after, follow=follow)

    def stream(self, after: str = "") -> Output:
        """Hear what the job streams, in order: `async for chunk in future.stream()`.

        Nothing is missed and nothing comes twice, however late one begins and whatever happens to
        the connection. Ends with the job.

        Args:
            after: Go on behind this `position` of an earlier listener; '': from the beginning.

        Raises:
            JobNotFoundError: there is no record of it (any more), or this is no job id.
            OutputLostError: what comes next is not kept any more.
            ValueError: not a position.
            redis.exceptions.RedisError: the queue cannot be reached; asking again goes on.
        """
        return Output(self.job_id, self.url, after)

    def progress_sync(self) -> Generator[Progress]:
        """`progress` for code that does not await. Blocks the thread."""
        return self.progress().sync()

    def logs_sync(self, after: str = "", *, follow: bool = True) -> Generator[LogLine]:
        """`logs` for code that does not await. Blocks the thread."""
        return self.logs(after, follow=follow).sync()

    def stream_sync(self, after: str = "") -> Generator[Any]:
        """`stream` for code that does not await. Blocks the thread."""
        return self.stream(after).sync()

    def result_sync(self, timeout: float | None = None) -> TaskResult[T]:
        """`result` for code that does not await. Blocks the thread."""
        if sync.may_await():
            return sync.through_loop(self.result, timeout)
        ended = self._ended or sync.blocking_client(self.url).end_of(self.job_id, timeout)
        return self.result_as(ended)

    def value_sync(self, timeout: float | None = None) -> T:
        """`value` for code that does not await. Blocks the thread."""
        return self.result_sync(timeout).value

    def status_sync(self) -> JobStatus:
        """`status` for code that does not await. Blocks the thread."""
        if sync.must_await():
            return sync.through_loop(self.status)
        record = sync.blocking_client(self.url).store.lookup(self.job_id)
        if record is None:
            raise JobNotFoundError(self.job_id)
        return record.state

    def unfinished_sync(self) -> list[str]:
        """`unfinished` for code that does not await. Blocks the thread."""
        if sync.must_await():
            return sync.through_loop(self.unfinished)
        return sync.blocking_client(self.url).store.living(self.job_id)

    def cancel_sync(self, reason: str | None = None, *, tree: bool = True) -> bool:
        """`cancel` for code that does not await. Blocks the thread."""
        if sync.must_await():
            return sync.through_loop(partial(self.cancel, reason, tree=tree))
        store = sync.blocking_client(self.url).store
        if not tree:
            return store.cancel(self.job_id, reason or "").reached
        (cancelled,) = store.cancel_trees((self.job_id,), reason or "")
        return cancelled.reached

    def result_as(self, ended: Ended) -> TaskResult[T]:
        """What `result` makes of the job's end; raises as it does."""
        return result_of(ended, self._definition and self._definition.result)

    def keep(self, ended: Ended) -> None:
        """Remember how the job ended: nobody needs to ask the queue again."""
        self._ended = ended

    @property
    def url(self) -> str | None:
        """The queue's server; None: what the settings say."""
        return None if self._origin is None else self._origin.redis_url

    def __repr__(self) -> str:
        return f"Future({self.job_id!r})"
