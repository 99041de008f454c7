"""What a caller gets of a job that is over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from attrs import frozen

from upnext.client.ended import Ended
from upnext.contracts.codec import ResultCodec
from upnext.model.outcome import Failure
from upnext.model.status import FailureReason, JobStatus

T = TypeVar("T")


@frozen(kw_only=True)
class TaskResult(Generic[T]):
    """A job that is over, with its value if it is complete."""

    value: T
    """What the function returned; None unless the job is complete."""
    job_id: str
    function: str = ""
    """The function key: what the queue calls the task."""
    function_name: str = ""
    status: JobStatus = JobStatus.COMPLETE
    error: str | None = None
    """The error's type and message, or why the job was cancelled."""
    failure_reason: FailureReason | None = None
    error_type: str | None = None
    """Qualified name of the class of what the function raised."""
    traceback: str | None = None
    started_at: datetime | None = None
    """When the last attempt began, in UTC."""
    completed_at: datetime | None = None
    attempts: int = 1
    parent_id: str | None = None
    root_id: str = ""

    @property
    def ok(self) -> bool:
        """Whether the job is complete."""
        return self.status is JobStatus.COMPLETE


class TaskExecutionError(RuntimeError):
    """The job is over and has no result: it failed, was cancelled, or its deadline passed.

    Attributes:
        task_result: All that is known of it.
        job_id: Its id.
        status: FAILED, CANCELLED or EXPIRED.
        error: What went wrong, in words.
        error_type: Qualified name of the class of what its function raised, or None.
        traceback: The traceback in its worker, or None.
    """

    def __init__(self, task_result: TaskResult[Any]) -> None:
        self.task_result = task_result
        self.job_id = task_result.job_id
        self.status = task_result.status
        self.error = task_result.error or str(task_result.status)
        self.error_type = task_result.error_type
        self.traceback = task_result.traceback
        super().__init__(f"{self.job_id}: {self.error}")

    def __reduce__(self) -> tuple[type[TaskExecutionError], tuple[TaskResult[Any]]]:
        return type(self), (self.task_result,)


class TaskTimeoutError(TaskExecutionError):
    """The job failed because an attempt took longer than its task's timeout.

    A `TimeoutError` that the function itself raised is an ordinary `TaskExecutionError`; one that
    `wait` or `result` raises says only that the caller stopped waiting.
    """


def result_of(ended: Ended, codec: ResultCodec | None) -> TaskResult[Any]:
    """The result of a complete job.

    Args:
        ended: How it ended.
        codec: How its value is read; None: as JSON made it.

    Raises:
        TaskTimeoutError: it failed by its own timeout.
        TaskExecutionError: it is over for another reason than being complete.
        CodecError: its value is not what the function's annotation says.
    """
    complete = ended.status is JobStatus.COMPLETE
    value = ended.value if complete else None
    failure = None if complete else ended.failure
    result = TaskResult[Any](
        value=value if codec is None or not complete else codec.structure(value),
        job_id=ended.id,
        function=ended.function,
        function_name=ended.function,
        status=ended.status,
        error=None if complete else _words(ended, failure),
        failure_reason=None if complete else _reason(ended, failure),
        error_type=failure.type if failure else None,
        traceback=failure.traceback if failure else None,
        started_at=_moment(ended.started_at),
        completed_at=_moment(ended.finished_at),
        attempts=ended.attempt,
        parent_id=ended.parent_id or None,
        root_id=ended.root_id or ended.id,
    )
    if complete:
        return result
    if result.status is JobStatus.FAILED and result.failure_reason is FailureReason.TIMEOUT:
        raise TaskTimeoutError(result)
    raise TaskExecutionError(result)


def _words(ended: Ended, failure: Failure | None) -> str:
    said = ""
    if failure is not None:
        said = ": ".join(part for part in (failure.type, failure.message) if part)
    if ended.status is JobStatus.FAILED:
        return said or ended.reason or "failed without saying why"
    how = "expired" if ended.status is JobStatus.EXPIRED else "cancelled"
    return ": ".join(part for part in (how, ended.reason) if part)


def _reason(ended: Ended, failure: Failure | None) -> FailureReason:
    if ended.status is JobStatus.CANCELLED:
        return FailureReason.CANCELLED
    if ended.status is JobStatus.EXPIRED:
        return FailureReason.EXPIRED
    return FailureReason.UNKNOWN if failure is None else failure.reason


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
