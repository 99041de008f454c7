"""What can go wrong, by whose doing it is.

- The caller asked for something that cannot be: `ConfigurationError`, `JobNotFoundError`,
  `CodecError`, or a builtin `ValueError` / `TypeError`.
- The caller asked for a schedule that is or is not there: `ScheduleExistsError`,
  `ScheduleNotFoundError`.
- The queue said no: `JobRefusedError`, `QueueFullError`, `EventRefusedError`.
- An artifact was not stored: `ArtifactError`.
- A frontend was not built: `StaticBuildError`.
- The job itself did not complete: `TaskExecutionError` and below.
- The broker could not be reached or refused a command: the exceptions of `redis.exceptions`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

__all__ = [
    "ArtifactError",
    "CodecError",
    "ConfigurationError",
    "DeadLetterNotFoundError",
    "EventRefusedError",
    "JobNotFoundError",
    "JobRefusedError",
    "MalformedJobIdError",
    "QueueFullError",
    "ScheduleExistsError",
    "ScheduleNotFoundError",
    "StaticBuildError",
    "UpNextError",
]


class UpNextError(Exception):
    """Base of the errors that UpNext itself raises, apart from those of a job's own failure."""


class ConfigurationError(UpNextError):
    """The set-up is wrong: a setting, a definition, a file. The message says what to change."""


class JobNotFoundError(UpNextError, LookupError):
    """There is no job with this id, or its record has outlived UPNEXT_QUEUE_JOB_TTL_SECONDS."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"no job {job_id}: wrong id or workspace, or its record has expired"
            " (UPNEXT_QUEUE_JOB_TTL_SECONDS)"
        )
        self.job_id = job_id

    def __reduce__(self) -> tuple[type[JobNotFoundError], tuple[str]]:
        return type(self), (self.job_id,)


class MalformedJobIdError(JobNotFoundError, ValueError):
    """This is no job id at all, so there is no such job; nobody had to be asked."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.args = (f"{job_id!r:.200} is not a job id (expected <function>-<32 hex digits>)",)


class OutputLostError(UpNextError):
    """Chunks that a job streamed are not kept any more: its listener came too late, or was too
    slow. The same listener may be asked for the next chunk, which is behind the gap.

    Attributes:
        job_id: The job.
        missing: How many chunks are missing.
    """

    def __init__(self, job_id: str, missing: int) -> None:
        super().__init__(f"{missing} chunks that job {job_id} streamed are not kept any more")
        self.job_id = job_id
        self.missing = missing

    def __reduce__(self) -> tuple[type[OutputLostError], tuple[str, int]]:
        return type(self), (self.job_id, self.missing)


class DeadLetterNotFoundError(UpNextError, LookupError):
    """This job is no dead letter: it never was one, or it was purged, or its time is over."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} is no dead letter (any more)")
        self.job_id = job_id

    def __reduce__(self) -> tuple[type[DeadLetterNotFoundError], tuple[str]]:
        return type(self), (self.job_id,)


class CodecError(UpNextError, ValueError):
    """A value cannot be written as JSON or read back as its annotation says.

    `path` leads to the offending field, such as `order.items[2].price`.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple[type[CodecError], tuple[str, str]]:
        return type(self), (self.path, self.problem)


class JobRefusedError(UpNextError):
    """The queue did not accept a job; nothing was stored."""

    def __init__(self, job_id: str, why: str) -> None:
        super().__init__(f"job {job_id} was refused: {why}")
        self.job_id = job_id
        self.why = why

    def __reduce__(self) -> tuple[type[JobRefusedError], tuple[str, ...]]:
        return type(self), (self.job_id, self.why)


class QueueFullError(JobRefusedError):
    """As many jobs wait as UPNEXT_QUEUE_STREAM_MAXLEN allows. Submit again later."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, "the queue is full (UPNEXT_QUEUE_STREAM_MAXLEN)")

    def __reduce__(self) -> tuple[type[QueueFullError], tuple[str]]:
        return type(self), (self.job_id,)


class ArtifactError(UpNextError):
    """An artifact could not be stored."""

    def __init__(self, name: str, why: str, *, status: int | None = None) -> None:
        super().__init__(f"artifact {name!r} was not stored: {why}")
        self.name = name
        self.why = why
        self.status = status
        """What the server answered, if it did."""

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), status=self.status), (self.name, self.why)


class EventRefusedError(UpNextError):
    """The store did not accept an event; nothing was stored. Send it again later.

    As many events wait to be routed as UPNEXT_QUEUE_STREAM_MAXLEN allows.
    """

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"event {event_id} was refused: too many events wait to be routed"
            " (UPNEXT_QUEUE_STREAM_MAXLEN)"
        )
        self.event_id = event_id

    def __reduce__(self) -> tuple[type[EventRefusedError], tuple[str]]:
        return type(self), (self.event_id,)


class ScheduleExistsError(UpNextError, ValueError):
    """A task already has a schedule of this name."""

    def __init__(self, function: str, name: str) -> None:
        super().__init__(
            f"task {function!r} already has a schedule {name!r}: change it, or give another name="
        )
        self.function = function
        self.name = name

    def __reduce__(self) -> tuple[type[ScheduleExistsError], tuple[str, str]]:
        return type(self), (self.function, self.name)


class ScheduleNotFoundError(UpNextError, LookupError):
    """A task has no schedule of this name."""

    def __init__(self, function: str, name: str) -> None:
        super().__init__(f"task {function!r} has no schedule {name!r}")
        self.function = function
        self.name = name

    def __reduce__(self) -> tuple[type[ScheduleNotFoundError], tuple[str, str]]:
        return type(self), (self.function, self.name)


class StaticBuildError(UpNextError):
    """A frontend could not be installed or built, so the API does not start.

    Attributes:
        path: The URL path of the mount.
        command: What was run.
        code: Its exit code, negative for a signal; None if it was ended after `limit` seconds.
        output: The last lines that it wrote.
        limit: Seconds that it had.
    """

    def __init__(
        self, path: str, command: str, code: int | None, output: tuple[str, ...], *, limit: float
    ) -> None:
        if code is None:
            how = f"took longer than {limit:g} s and was ended"
        else:
            how = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        super().__init__(f"static files {path}: `{command}` {how}")
        self.path = path
        self.command = command
        self.code = code
        self.output = output
        self.limit = limit

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = self.path, self.command, self.code, self.output
        return partial(type(self), limit=self.limit), arguments
