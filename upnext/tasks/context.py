"""What a job knows of itself, and what it says while it runs."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import anyio.lowlevel
from attrs import evolve

from upnext.contracts.handlers import event_of
from upnext.model.job import Held, Job
from upnext.model.report import Pace, Report, ReportKind, Said, fraction_of, progress_report
from upnext.model.status import CancelReason
from upnext.tasks.host import Host, Lender, PlainTerms, Terms
from upnext.tasks.job_log import JobLog
from upnext.tasks.words import chunk_of, level_of, line_of, line_of_record, state_of, state_read

__all__ = ["Context", "Host", "Lender", "current_context", "get_current_context"]


class Context:
    """One attempt of one job, seen from inside. Made by the worker; read it, do not change it.

    Every member works in async jobs, in threads and in processes. What a job says is written by
    the worker in the background, in order, and before the end of the attempt is.

    Attributes:
        started_at: When this attempt started, Unix seconds.
        lender: Where this job's slot can be left while it waits for another job.
        state: What the worker's lifespan yielded; None without one, and in a worker process.
        said: What it has said; None: nothing. The worker's own.
    """

    # Made for every job, and most never look at it: it holds what there is, and works out the rest.
    __slots__ = ("_host", "_job", "_terms", "lender", "said", "started_at", "state")

    def __init__(
        self,
        *,
        job_id: str,
        job_key: str = "",
        parent_id: str | None = None,
        root_id: str = "",
        attempt: int = 1,
        max_attempts: int = 1,
        started_at: float = 0.0,
        timeout: float | None = None,
        deadline: int | None = None,
        function: str = "",
        function_name: str = "",
        source: bytes = b"",
        lender: Lender | None = None,
    ) -> None:
        self._job = Job(
            id=job_id,
            function=function,
            arguments=b"",
            attempt=attempt,
            delivery=0,
            priority=0,
            created_at=0,
            claimed_at=0,
            deadline=deadline,
            parent_id=parent_id or "",
            root_id=root_id,
            rescues=0,
            key=job_key,
            source=source,
        )
        self._terms: Terms = PlainTerms(function or function_name, max_attempts, timeout)
        self.started_at = started_at
        self.lender = lender
        self._host: Host | None = None
        self.said: Said | None = None
        self.state: Any = None

    @classmethod
    def of(
        cls, job: Job, terms: Terms, started_at: float, lender: Lender | None, host: Host | None
    ) -> Context:
        """The context of an attempt at a claimed job."""
        self = cls.__new__(cls)
        self._job = job
        self._terms = terms
        self.started_at = started_at
        self.lender = lender
        self._host = host
        self.said = None
        self.state = None
        return self

    @property
    def job_id(self) -> str:
        return self._job.id

    @property
    def job_key(self) -> str:
        """The idempotency key it was submitted with, or ''."""
        return self._job.key

    @property
    def parent_id(self) -> str | None:
        """The job that submitted this one."""
        return self._job.parent_id or None

    @property
    def root_id(self) -> str:
        """The first job of the tree this one belongs to; its own id for a job without a parent.
        Empty in a direct call of a task, which is no job."""
        job = self._job
        return job.root_id or (job.id if job.delivery else "")

    @property
    def path(self) -> str:
        """The jobs between the root and this one, for those it submits: `upnext.model.lineage`."""
        return self._job.path

    @property
    def attempt(self) -> int:
        """From 1. A hand-back or a snooze does not count."""
        return self._job.attempt

    @property
    def max_attempts(self) -> int:
        """The first attempt and all retries."""
        return self._terms.max_attempts

    @property
    def timeout(self) -> float | None:
        """Seconds this attempt may take."""
        return self._terms.timeout

    @property
    def deadline(self) -> int | None:
        """When the whole job must be over, Unix milliseconds of the store's clock."""
        return self._job.deadline

    @property
    def function(self) -> str:
        """The function key: what the queue calls the task."""
        return self._terms.name

    @property
    def function_name(self) -> str:
        return self._terms.name

    @property
    def checkpoint_state(self) -> dict[str, Any] | None:
        """What an earlier attempt saved last with `checkpoint`; None when none did."""
        return state_read(self._job.checkpoint)

    @property
    def progress_min_delta(self) -> float:
        """Progress that differs by less is told later, or not at all."""
        return _DEFAULT_PACE.min_delta if self._host is None else self._host.pace.min_delta

    @property
    def progress_min_interval_seconds(self) -> float:
        """Progress that comes later than this after the last one is told in any case."""
        return _DEFAULT_PACE.min_interval if self._host is None else self._host.pace.min_interval

    @property
    def is_cancelled(self) -> bool:
        """Whether this attempt is being cancelled: by a user, by its timeout or deadline, by a
        worker that stops, or because its lease was lost.

        Async jobs see it while they clean up, threads at any time (`check_cancelled()` is the way
        to stop there). A process never does: it is killed.
        """
        return self._cancelled is not None

    @property
    def cancel_reason(self) -> CancelReason | None:
        """Why this attempt is being cancelled; None while it is not."""
        return None if self._cancelled is None else self._cancelled[0]

    @property
    def cancel_message(self) -> str:
        """The words that came with the cancellation, or ''."""
        return "" if self._cancelled is None else self._cancelled[1]

    @property
    def _cancelled(self) -> tuple[CancelReason, str] | None:
        if self.said is not None and self.said.cancelled is not None:
            return self.said.cancelled
        return None if self._host is None else self._host.cancelled(self._job)

    def time_left(self) -> float | None:
        """Seconds until this attempt must be over, by its timeout or the job's deadline.

        Returns:
            0 or more; None when there is no limit.
        """
        left = None if self._host is None else self._host.time_left(self._job)
        return None if left is None else max(0.0, left)

    def set_progress(self, progress: float, message: str | None = None) -> None:
        """Say how far the job is. Never blocks.

        The first one, a new message and 100 % are always told; others when they differ by
        `progress_min_delta` or come `progress_min_interval_seconds` after the last. What the job
        says last is told at its end.

        Args:
            progress: An int is a percentage, so 1 is 1 %; a float up to 1.0 is a fraction, above
                it a percentage.
            message: What it does, in words; None: what it said before still holds.

        Raises:
            ValueError: it is outside 0 to 100 %, or the message is no text.
        """
        fraction = fraction_of(progress)
        if message is not None and not isinstance(message, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"the message of progress must be a text, not {message!r}")
        host = self._host
        if host is None or (said := self._saying()).closed:
            return
        if said.is_news(fraction, message, time.monotonic(), host.pace):
            self._tell(host, progress_report(fraction, said.message))

    def checkpoint(self, state: dict[str, Any]) -> None:
        """Save a state for the next attempt, which finds it in `checkpoint_state`.

        Never blocks. The newest state replaces one that is not written yet; it is in the store
        before the end of the attempt is. A worker that is killed loses what it said in the last
        moment.

        Args:
            state: JSON, 1 MiB at most.

        Raises:
            CodecError: it cannot be written as JSON.
        """
        payload = state_of(state)
        if self._host is not None and not self._saying().closed:
            self._tell(self._host, Report(kind=ReportKind.CHECKPOINT, payload=payload))

    def send_log(self, level: str | int, message: str, **extra: Any) -> None:
        """Write a line to the job's own log, and nowhere else. Never blocks.

        Logging with `log`, or with any other logger, reaches the job's log, too, unless the worker
        or the task says `capture_logs=False`.

        Args:
            level: "debug", "info", "warning", "error", "critical", or a number as logging has it.
            message: What there is to say.
            **extra: Facts beside it.

        Raises:
            ValueError: there is no such level.
        """
        line = line_of(level_of(level), self.function or "upnext.job", message, extra)
        if self._host is not None and not self._saying().closed:
            self._tell(self._host, Report(kind=ReportKind.LOG, payload=line))

    def capture(self, record: logging.LogRecord) -> None:
        """Take a record of the logging module to the job's log. The worker calls this."""
        host = self._host
        if host is None or not host.captures_logs or self._saying().closed:
            return
        self._tell(host, Report(kind=ReportKind.LOG, payload=line_of_record(record)))

    async def stream(self, chunk: Any) -> None:
        """Send a chunk of output to whoever listens: `async for chunk in future.stream()`.

        Args:
            chunk: JSON or bytes, 64 KiB at most.

        Raises:
            CodecError: it cannot be written.

        Waits while too much of the job's output is not written yet. Cancelling it may lose the
        wait, not the chunk.
        """
        payload, kind = chunk_of(chunk)
        if self._host is None or self._saying().closed:
            await anyio.lowlevel.checkpoint()
            return
        report = Report(kind=ReportKind.OUTPUT, payload=payload, text=kind)
        await self._host.stream(self._job, self.started_at, report)

    def stream_sync(self, chunk: Any) -> None:
        """`stream` for jobs in threads and processes. Blocks while too much is not written."""
        payload, kind = chunk_of(chunk)
        if self._host is not None and not self._saying().closed:
            report = Report(kind=ReportKind.OUTPUT, payload=payload, text=kind)
            self._host.stream_sync(self._job, self.started_at, report)

    def close(self) -> None:
        """The attempt is over: tell what was held back, and nothing from now on."""
        said, host = self._saying(), self._host
        if said.closed or host is None:
            return
        last = said.last_words()
        if last is not None:
            self._tell(host, progress_report(last, said.message))
        said.closed = True
        host.end(self._job)

    @property
    def held(self) -> Held:
        """The claim on the job. The worker's own."""
        return self._job.held

    @property
    def captures_logs(self) -> bool:
        """Whether what it logs with the logging module goes to its log."""
        return self._host is not None and self._host.captures_logs

    def was_cancelled(self, reason: CancelReason, message: str) -> None:
        """The attempt is over; a thread of it may go on and ask why. The worker calls this."""
        self._saying().cancelled = reason, message

    def has_spoken(self) -> None:
        """Another process said something for it: there is something to `close`."""
        self._saying()

    def portable(self, host: Host | None = None) -> Context:
        """This context for another process: without what belongs to this one.

        Args:
            host: What stands for the worker there.
        """
        terms = self._terms
        plain = PlainTerms(terms.name, terms.max_attempts, terms.timeout)
        return Context.of(evolve(self._job, arguments=b""), plain, self.started_at, None, host)

    def named(self, name: str) -> Context:
        """This context for a direct call of another task inside the job."""
        terms = PlainTerms(name, self.max_attempts, self.timeout)
        other = Context.of(self._job, terms, self.started_at, self.lender, self._host)
        # The job says it, whatever task's function it has called.
        other.said = self._saying()
        other.state = self.state
        return other

    @property
    def event(self) -> str | None:
        """The name of the event that this job handles; None when it handles none."""
        return event_of(self._job.source)

    @property
    def scheduled_at(self) -> datetime | None:
        """The time on its schedule that this job of a cron is for, in UTC; None for any other job.

        It is the same in every attempt, and however late the job runs.
        """
        instant = json.loads(self._job.source).get("cron_window_at") if self._job.source else None
        return None if instant is None else datetime.fromtimestamp(instant / 1000, UTC)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that says which job speaks: `job_id`, `function`, `attempt` on every record."""
        # Not a logger per job: the logging module never forgets a logger.
        return JobLog(
            _logger,
            {"job_id": self.job_id, "function": self.function, "attempt": self.attempt},
        )

    def _saying(self) -> Said:
        said = self.said
        if said is None:
            said = self.said = Said()
        return said

    def _tell(self, host: Host, report: Report) -> None:
        host.tell(self._job, self.started_at, report)

    def __repr__(self) -> str:
        return f"Context({self.job_id!r}, attempt {self.attempt} of {self.function!r})"


_logger = logging.getLogger("upnext.job")
_DEFAULT_PACE = Pace()

current_context: ContextVar[Context] = ContextVar("upnext_context")
"""The job that runs here; set by the worker, in threads and processes too."""


def get_current_context() -> Context:
    """The job that runs here.

    Raises:
        RuntimeError: no job runs here.
    """
    try:
        return current_context.get()
    except LookupError:
        raise RuntimeError(
            "no job runs here: get_current_context() works inside a task's function"
        ) from None
