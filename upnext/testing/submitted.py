"""A submitted job, as a test sees it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from attrs import frozen

from upnext.contracts.codec import decode_failure
from upnext.errors import CodecError
from upnext.model.outcome import Failure
from upnext.model.status import JobStatus
from upnext.tasks.definition import TaskDefinition
from upnext.testing.memory_store.record import Record


@frozen(kw_only=True, repr=False)
class SubmittedJob:
    """One job, as it was when the test asked. Times are the queue's."""

    id: str
    task: str
    """The task's name."""
    args: tuple[Any, ...]
    """What the function is given by position: only what it takes in no other way."""
    kwargs: dict[str, Any]
    """What the function is given by name, whichever way the caller passed it."""
    status: JobStatus
    attempts: int
    """Attempts that were begun and counted."""
    result: Any
    """What the function returned; None unless the job is complete."""
    error: Failure | None
    """What the last attempt that failed raised."""
    reason: str
    """Why it was cancelled or expired or put off, in words."""
    created_at: datetime
    due_at: datetime
    """When it may run: by its delay, by its next retry, or at once."""
    deadline: datetime | None
    priority: int
    key: str
    """Its idempotency key, or ''."""
    parent_id: str | None
    root_id: str

    @property
    def delay(self) -> float:
        """Seconds from the submit until it may run."""
        return (self.due_at - self.created_at).total_seconds()

    def __str__(self) -> str:
        return call_text(self.task, self.args, self.kwargs)

    def __repr__(self) -> str:
        return f"<{self.describe()}>"

    def describe(self) -> str:
        """The call, and what has become of it, in one line."""
        said = [self.status.value]
        if self.status is JobStatus.SCHEDULED:
            said[0] += (
                f" in {timedelta(seconds=self.delay)}"
                if not self.attempts
                else " for another attempt"
            )
        if self.attempts:
            said.append(f"attempt {self.attempts}")
        if self.error is not None:
            said.append(f"{self.error.type}: {self.error.message}")
        if self.reason:
            said.append(self.reason)
        return f"{self}  {', '.join(said)}"


def submitted(job: Record, definition: TaskDefinition | None) -> SubmittedJob:
    """A job of the memory store, decoded as its task's annotations say."""
    args, kwargs = _arguments(job, definition)
    result = None
    if job.status is JobStatus.COMPLETE and job.result:
        raw = orjson.loads(job.result)
        result = raw if definition is None else definition.result.structure(raw)
    return SubmittedJob(
        id=job.id,
        task=job.function,
        args=args,
        kwargs=kwargs,
        status=job.status,
        attempts=job.attempt,
        result=result,
        error=decode_failure(job.error),
        reason=job.reason,
        created_at=_moment(job.created),
        due_at=_moment(job.due),
        deadline=None if job.deadline is None else _moment(job.deadline),
        priority=job.priority,
        key=job.key,
        parent_id=job.parent or None,
        root_id=job.root or job.id,
    )


def is_call(
    job: SubmittedJob,
    definition: TaskDefinition | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> bool:
    """Whether a job calls its function as these arguments would, defaults filled in.

    Raises:
        TypeError: the function cannot be called like this.
    """
    if definition is None:
        return (job.args, job.kwargs) == (args, dict(kwargs))
    there = _bound(definition, job.args, job.kwargs)
    wanted = _bound(definition, args, kwargs)
    if there == wanted:
        return True
    try:  # a tuple that JSON makes a list of is still the same call
        args, kwargs = definition.arguments.decode(definition.arguments.encode(args, dict(kwargs)))
    except CodecError:
        return False
    return there == _bound(definition, args, kwargs)


def call_text(task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """A call as one would write it."""
    given = [repr(value) for value in args]
    given += [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{task}({', '.join(given)})"


def _arguments(
    job: Record, definition: TaskDefinition | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if definition is not None:
        try:
            return definition.arguments.decode(job.arguments)
        except CodecError:  # shown as they are: the job itself fails for it
            pass
    return (), orjson.loads(job.arguments)


def _bound(
    definition: TaskDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        bound = inspect.signature(definition.function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{definition.name}(): {error}") from None
    bound.apply_defaults()
    return bound.arguments


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
