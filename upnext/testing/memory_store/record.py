"""A job as the queue keeps it."""

from __future__ import annotations

from attrs import define

from upnext.model.job import Job, JobRecord, NewJob
from upnext.model.status import JobStatus


@define(eq=False, kw_only=True)
class Record:
    """The fields of a job's hash. Only the verbs write them.

    `worker` and `delivery` are the fence: the worker that was handed the job last, and the
    number of that delivery. A rescue takes the worker's name away and so revokes its fence.
    """

    id: str
    function: str
    arguments: bytes
    priority: int
    created: int
    due: int
    deadline: int | None
    key: str
    parent: str
    root: str
    source: bytes
    path: str
    waiters: list[str]
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0
    delivery: int = 0
    rescues: int = 0
    worker: str = ""
    claimed: int | None = None
    started: int | None = None
    finished: int | None = None
    result: bytes = b""
    error: bytes = b""
    reason: str = ""
    cancel: str | None = None
    """Why its cancellation was asked for; None when it was not."""
    lane: str = ""
    entry: int = 0
    """Its place in its lane; 0 when it never was in one."""
    renewed: int = 0
    """When its owner last renewed the lease."""
    expires: int | None = None
    """When the record goes; None while the job is not over."""

    @classmethod
    def of(cls, job: NewJob, now: int) -> Record:
        """A job that is accepted now."""
        due = now
        if job.at is not None:
            due = job.at
        elif job.delay is not None:
            due = now + job.delay
        limits = [job.deadline, None if job.budget is None else now + job.budget]
        return cls(
            id=job.id,
            function=job.function,
            arguments=job.arguments,
            priority=job.priority,
            created=now,
            due=due,
            deadline=min((limit for limit in limits if limit is not None), default=None),
            key=job.key,
            parent=job.parent_id,
            root="" if job.root_id == job.id else job.root_id,
            source=job.source,
            path=job.path,
            waiters=[job.waiter] if job.waiter else [],
        )

    def join(self, channel: str) -> None:
        """Have a channel told of the end, once."""
        if channel and channel not in self.waiters:
            self.waiters.append(channel)

    def is_held(self, worker: str, delivery: int) -> bool:
        """Whether this delivery still owns the job."""
        fence = (JobStatus.RUNNING, worker, delivery)
        return (self.status, self.worker, self.delivery) == fence

    def as_job(self, now: int) -> Job:
        """What its worker is given."""
        return Job(
            id=self.id,
            function=self.function,
            arguments=self.arguments,
            attempt=self.attempt,
            delivery=self.delivery,
            priority=self.priority,
            created_at=self.created,
            claimed_at=now,
            deadline=self.deadline,
            parent_id=self.parent,
            root_id=self.root or self.id,
            rescues=self.rescues,
            key=self.key,
            source=self.source,
            path=self.path,
        )

    def as_record(self) -> JobRecord:
        """What a look-up shows."""
        return JobRecord(
            id=self.id,
            function=self.function,
            status=self.status,
            arguments=self.arguments,
            attempt=self.attempt,
            delivery=self.delivery,
            priority=self.priority,
            created_at=self.created,
            due_at=self.due,
            claimed_at=self.claimed,
            started_at=self.started,
            finished_at=self.finished,
            deadline=self.deadline,
            parent_id=self.parent,
            root_id=self.root or self.id,
            rescues=self.rescues,
            key=self.key,
            source=self.source,
            worker=self.worker,
            result=self.result,
            error=self.error,
            reason=self.reason,
            cancel_requested=self.cancel is not None,
        )
