"""How a job ended, as the queue tells it: in a notice to those who wait, or in its record."""

from __future__ import annotations

from typing import Any

import orjson
from attrs import evolve, frozen

from upnext.contracts.codec import decode_failure, failure_of
from upnext.model.job import JobRecord, NewJob
from upnext.model.outcome import Failure
from upnext.model.status import JobStatus


@frozen(kw_only=True, eq=False)
class Ended:
    """A job in a terminal state. Times are Unix milliseconds of the store's clock."""

    id: str
    status: JobStatus
    attempt: int
    started_at: int | None
    finished_at: int | None
    reason: str
    failure: Failure | None
    value: Any
    """The parsed JSON of the result."""
    function: str = ""
    parent_id: str = ""
    root_id: str = ""

    @classmethod
    def of_notice(cls, payload: bytes) -> Ended:
        """Read what the scripts publish when a job ends."""
        notice = orjson.loads(payload)
        return cls(
            id=notice["id"],
            status=JobStatus(notice["status"]),
            attempt=notice["attempt"],
            started_at=notice["started_at"],
            finished_at=notice["finished_at"],
            reason=notice["reason"],
            failure=failure_of(notice["error"]),
            value=notice["result"],
        )

    def of_job(self, job: JobRecord | NewJob) -> Ended:
        """The same, with what the job's own record or submission adds."""
        return evolve(self, function=job.function, parent_id=job.parent_id, root_id=job.root_id)

    @classmethod
    def of_record(cls, record: JobRecord) -> Ended:
        """Read the record of a job that is over."""
        return cls(
            id=record.id,
            status=record.status,
            attempt=record.attempt,
            started_at=record.started_at,
            finished_at=record.finished_at,
            reason=record.reason,
            failure=decode_failure(record.error),
            value=orjson.loads(record.result) if record.result else None,
            function=record.function,
            parent_id=record.parent_id,
            root_id=record.root_id,
        )
