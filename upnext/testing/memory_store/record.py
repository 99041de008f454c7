"""A job as the queue keeps it."""

from __future__ import annotations

import json
from bisect import bisect_right

from attrs import define, field

from upnext.model.dedupe import Caching, Dedupe, DedupeKind, put_off
from upnext.model.job import Job, JobRecord, NewJob
from upnext.model.report import Entry, Progress
from upnext.model.status import JobStatus

OVERHEAD = 100
"""Bytes that an entry takes besides its payload."""


@define(eq=False)
class Kept:
    """A job's log, or its output."""

    entries: list[Entry] = field(factory=list[Entry])
    size: int = 0

    def append(self, entry: Entry, most: int) -> None:
        """Add an entry; the oldest ones go when it grows too long."""
        self.entries.append(entry)
        self.size += len(entry.payload) + OVERHEAD
        while self.size > most and len(self.entries) > 1:
            self.size -= len(self.entries.pop(0).payload) + OVERHEAD

    def after(self, entry_id: str, most: int) -> list[Entry]:
        """Up to so many entries after one of them; '': from the beginning."""
        start = bisect_right(self.entries, _place(entry_id), key=_place_of) if entry_id else 0
        return self.entries[start : start + most]


def _place(entry_id: str) -> tuple[int, int]:
    delivery, _, number = entry_id.partition("-")
    return int(delivery), int(number)


def _place_of(entry: Entry) -> tuple[int, int]:
    return _place(entry.id)


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
    keys: str = ""
    """Its limit keys."""
    limited: bool = False
    """Whether its end makes room under a limit."""
    dedupe: Dedupe | None
    caching: Caching | None
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
    reported: tuple[int, int] | None = None
    """Delivery and number of the last report; None when nobody spoke or listened."""
    progress: Progress | None = None
    checkpoint: bytes = b""
    checkpoint_at: int | None = None
    log: Kept = field(factory=lambda: Kept())
    out: Kept = field(factory=lambda: Kept())
    serial: str = ""
    """The schedule in whose line it stands; '' for none."""
    replayed_as: str = ""
    """The job that a replay made of it."""
    expires: int | None = None
    """When the record goes; None while the job is not over."""

    @classmethod
    def of(cls, job: NewJob, now: int) -> Record:
        """A job that is accepted now."""
        return cls(
            id=job.id,
            function=job.function,
            arguments=job.arguments,
            priority=job.priority,
            created=now,
            due=due_of(job, now),
            deadline=deadline_of(job, now),
            key=job.key,
            parent=job.parent_id,
            root="" if job.root_id == job.id else job.root_id,
            source=job.source,
            path=job.path,
            waiters=[job.waiter] if job.waiter else [],
            keys=job.limit_keys,
            dedupe=job.dedupe,
            caching=job.caching,
        )

    def join(self, channel: str) -> None:
        """Have a channel told of the end, once."""
        if channel and channel not in self.waiters:
            self.waiters.append(channel)

    def wait_in_line(self) -> None:
        """Let it wait for a job that goes before it."""
        self.status, self.lane, self.entry = JobStatus.SCHEDULED, "", 0

    def is_held(self, worker: str, delivery: int) -> bool:
        """Whether this delivery still owns the job."""
        fence = (JobStatus.RUNNING, worker, delivery)
        return (self.status, self.worker, self.delivery) == fence

    def notice(self) -> bytes:
        """What those who wait for its end are told. Payloads are put in as they are."""
        head = {
            "id": self.id,
            "status": self.status.value,
            "attempt": self.attempt,
            "started_at": self.started,
            "finished_at": self.finished,
            "reason": self.reason,
        }
        return b'%s,"error":%s,"result":%s}' % (
            json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1].encode(),
            self.error or b"null",
            self.result or b"null",
        )

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
            checkpoint=self.checkpoint,
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
            progress=None if self.progress is None else self.progress.fraction,
            progress_message="" if self.progress is None else self.progress.message,
            checkpoint=self.checkpoint,
            checkpoint_at=self.checkpoint_at,
            dedupe="" if self.dedupe is None else self.dedupe.mark,
            replayed_as=self.replayed_as,
        )


def due_of(job: NewJob, now: int) -> int:
    """When a job that is accepted now is to run."""
    if job.dedupe is not None and job.dedupe.kind is DedupeKind.DEBOUNCE:
        return put_off(now, job.dedupe.window, now, job.dedupe.most)
    if job.at is not None:
        return job.at
    return now if job.delay is None else now + job.delay


def deadline_of(job: NewJob, now: int) -> int | None:
    """When a job that is accepted now must be over."""
    limits = [job.deadline, None if job.budget is None else now + job.budget]
    return min((limit for limit in limits if limit is not None), default=None)
