"""A job that was submitted, seen by whoever submitted it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

from upnext.client import sync
from upnext.client.connect import connect
from upnext.client.following import Log, Output, ProgressOf
from upnext.client.ports import Origin
from upnext.client.result import TaskResult, result_of
from upnext.errors import JobNotFoundError
from upnext.model.report import LogLine, Progress
from upnext.model.status import JobStatus
from upnext.store.cancel import CancelVerdict
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

    __slots__ = ("_definition", "_origin", "job_id")

    def __init__(
        self,
        job_id: str,
        definition: TaskDefinition | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.job_id = job_id
        self._definition = definition
        self._origin = origin

    async def result(self, timeout: float | None = None) -> TaskResult[T]:
        """Wait until the job ends. Inside a job, its slot is lent meanwhile.

        Args:
            timeout: Seconds to wait; None: until it ends.

        Raises:
            TimeoutError: it did not end in time; it goes on.
            TaskTimeoutError: it failed by its own timeout.
            TaskExecutionError: it failed, was cancelled, or its deadline passed.
            JobNotFoundError: there is no record of it (any more).
            CodecError: its value is not what the function's annotation says.
            redis.exceptions.RedisError: the queue cannot be reached.

        Cancelling stops the waiting, not the job.
        """
        client = await connect(self.url)
        ended = await client.end_of(self.job_id, timeout)
        return result_of(ended, self._definition and self._definition.result)

    async def value(self, timeout: float | None = None) -> T:
        """Wait until the job ends, and return what its function returned. Raises as `result`."""
        return (await self.result(timeout)).value

    async def status(self) -> JobStatus:
        """Where the job stands now.

        Raises:
            JobNotFoundError: there is no record of it (any more).
            redis.exceptions.RedisError: the queue cannot be reached.
        """
        client = await connect(self.url)
        record = await client.store.lookup(self.job_id)
        if record is None:
            raise JobNotFoundError(self.job_id)
        return record.status

    async def cancel(self, reason: str | None = None) -> bool:
        """Cancel the job: at once while it waits; a running one through its worker.

        Args:
            reason: Why, in words; kept with the job.

        Returns:
            False when it is over already, or there is no such job.

        Raises:
            redis.exceptions.RedisError: the queue cannot be reached.
        """
        client = await connect(self.url)
        return was_reached(await client.store.cancel(self.job_id, reason or ""))

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
            JobNotFoundError: there is no record of it (any more).
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
        ended = sync.blocking_client(self.url).end_of(self.job_id, timeout)
        return result_of(ended, self._definition and self._definition.result)

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
        return record.status

    def cancel_sync(self, reason: str | None = None) -> bool:
        """`cancel` for code that does not await. Blocks the thread."""
        if sync.must_await():
            return sync.through_loop(self.cancel, reason)
        store = sync.blocking_client(self.url).store
        return was_reached(store.cancel(self.job_id, reason or ""))

    @property
    def url(self) -> str | None:
        """The queue's server; None: what the settings say."""
        return None if self._origin is None else self._origin.redis_url

    def __repr__(self) -> str:
        return f"Future({self.job_id!r})"


def was_reached(verdict: CancelVerdict) -> bool:
    """Whether a cancellation came in time."""
    return verdict in (CancelVerdict.CANCELLED, CancelVerdict.REQUESTED)
