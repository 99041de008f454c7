"""What a running job needs of the worker it runs in."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import frozen

from upnext.model.job import Job
from upnext.model.report import Pace, Report
from upnext.model.status import CancelReason
from upnext.tasks.definition import TaskDefinition


class Lender(Protocol):
    """Takes back the slot of a job that only waits, so that another job can run meanwhile."""

    @property
    def parent(self) -> bool:
        """Whether the job submitted others in this attempt."""
        ...

    @parent.setter
    def parent(self, parent: bool) -> None: ...

    def lend(self, jobs: Collection[str] = ()) -> AbstractAsyncContextManager[None]:
        """Give the slot back for the length of the block, and have one again at its end.

        Several tasks of one job may be in such a block at once: the first one gives the slot back,
        the last one takes one again.

        Args:
            jobs: Ids of the jobs that are waited for inside; not to be changed meanwhile.
        """
        ...


class Host(Protocol):
    """What the worker does for a job that runs. All but `stream` may be called in any thread."""

    @property
    def pace(self) -> Pace: ...
    @property
    def captures_logs(self) -> bool: ...
    def tell(self, job: Job, started_at: float, report: Report) -> None:
        """Have a report written. Never blocks."""
        ...

    async def stream(self, job: Job, started_at: float, report: Report) -> None:
        """Have a report written; waits while too many of the job's are not."""
        ...

    def stream_sync(self, job: Job, started_at: float, report: Report) -> None:
        """`stream`, blocking the thread."""
        ...

    def end(self, job: Job) -> None:
        """The job says no more."""
        ...

    def cancelled(self, job: Job) -> tuple[CancelReason, str] | None:
        """Why the attempt is being cancelled, if it is."""
        ...

    def time_left(self, job: Job) -> float | None:
        """Seconds until the attempt must be over; None: no limit."""
        ...


@frozen
class PlainTerms:
    """What a task's definition says of an attempt, without the definition."""

    name: str
    max_attempts: int
    timeout: float | None


Terms = TaskDefinition | PlainTerms
