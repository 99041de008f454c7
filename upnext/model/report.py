"""What a running job says of itself: progress, checkpoints, log lines, output."""

from __future__ import annotations

import math
from enum import StrEnum
from numbers import Integral, Real
from typing import Any

import orjson
from attrs import define, field, frozen

from upnext.model.job import Held
from upnext.model.status import CancelReason, JobStatus


class ReportKind(StrEnum):
    """What a report is about; also its name in the event stream, apart from output."""

    PROGRESS = "progress"
    CHECKPOINT = "checkpoint"
    LOG = "log"
    OUTPUT = "output"


@define(eq=False, kw_only=True)
class Report:
    """One thing that a job said. `number` and `count` are given by whoever queues it."""

    kind: ReportKind
    payload: bytes
    """Progress: the fraction as text. Checkpoint and log: JSON. Output: the chunk."""
    text: str = ""
    """Progress: its message. Output: `json` or `raw`."""
    made_at: float = 0.0
    """On the monotonic clock of the machine, seconds."""
    number: int = 0
    """Counts the reports of one delivery as they are written, from 1."""
    count: int = 0
    """Counts the log lines of one delivery, or its chunks of output, from 1."""


@define(eq=False)
class Reports:
    """Reports of one delivery of one job, in order."""

    held: Held
    started: int
    """When the attempt started, Unix milliseconds of the store's clock."""
    reports: list[Report] = field(factory=list[Report])


class Written(StrEnum):
    """The store's answer to the reports of one job."""

    APPLIED = "applied"
    STALE = "stale"
    """Another delivery owns the job, or it is over: nothing was written."""


@frozen
class Progress:
    """How far a job is."""

    fraction: float
    """From 0 to 1."""
    message: str = ""
    at: int = 0
    """When it said so, Unix milliseconds of the store's clock."""

    @property
    def percent(self) -> float:
        """From 0 to 100."""
        return self.fraction * 100


@frozen(kw_only=True)
class LogLine:
    """One line of a job's log."""

    message: str
    level: str
    """`DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`, or what else logging calls it."""
    logger: str
    at: int
    """When it was said, Unix milliseconds of the store's clock."""
    attempt: int
    number: int
    """Counts the lines of one run of the job, from 1."""
    missing: int = 0
    """So many lines before this one are not kept (any more)."""
    extra: dict[str, Any] = field(factory=dict[str, Any])
    error: str = ""
    """The traceback that was logged with it."""


@frozen(kw_only=True)
class Entry:
    """One entry of a job's log or output, as the store keeps it."""

    id: str
    """`<delivery>-<number of the report>`: in order, and the place to go on from."""
    attempt: int
    number: int
    at: int
    kind: str
    """`log`, `json` or `raw`."""
    payload: bytes

    @property
    def delivery(self) -> int:
        """The run of the job that wrote it."""
        return int(self.id.partition("-")[0])


@frozen
class Heard:
    """What a listener finds: where the job stands, and entries after the place he named."""

    status: JobStatus
    progress: Progress | None
    entries: list[Entry]
    time_left: int | None = None
    """Milliseconds until the deadline of a job that is not over; None: it has none."""


@frozen
class Pace:
    """How often progress is worth telling."""

    min_delta: float = 0.01
    """Of 1."""
    min_interval: float = 0.2
    """Seconds."""


def fraction_of(progress: float) -> float:
    """What a user means by a number: an int is a percentage, so 1 is 1 %; a float up to 1.0 is a
    fraction, above it a percentage.

    Raises:
        ValueError: it is no number, or outside 0 to 100 %.
    """
    if isinstance(progress, bool) or not isinstance(progress, Real):
        raise ValueError(f"progress must be a number, not {progress!r}")
    value = float(progress)
    if isinstance(progress, Integral) or value > 1.0:
        value /= 100
    if not (math.isfinite(value) and 0.0 <= value <= 1.0):
        raise ValueError(
            f"progress must be from 0 to 100 %, not {progress!r}: an int is a percentage, a float"
            " up to 1.0 a fraction"
        )
    return value


@define(eq=False)
class Said:
    """What one attempt has said of its progress: decides what is worth telling.

    The first progress, one whose message is new, and the end (1.0) are always told; others when
    they differ by `min_delta`, or come `min_interval` after the last one that was told. What was
    held back is told at the end of the attempt.
    """

    fraction: float = -1.0
    """What was told last; below 0: nothing yet."""
    message: str = ""
    at: float = -math.inf
    held_back: float | None = None
    """What was said last, if it was not told."""
    closed: bool = False
    cancelled: tuple[CancelReason, str] | None = None
    """Why the attempt was cancelled: threads of it that are left behind ask for it later."""

    def is_news(self, fraction: float, message: str | None, now: float, pace: Pace) -> bool:
        """Whether to tell this progress, said at `now`; notes it either way.

        Args:
            fraction: From 0 to 1.
            message: None: the one before still holds.
            now: Seconds of any clock.
            pace: How often is worth it.
        """
        news = (
            self.fraction < 0
            or (message is not None and message != self.message)
            or (fraction >= 1.0 and self.fraction < 1.0)
            # Rounded, for 0.03 - 0.02 is a little less than 0.01.
            or round(abs(fraction - self.fraction), 12) >= pace.min_delta > 0
            or now - self.at >= pace.min_interval
        )
        if not news:
            self.held_back = None if fraction == self.fraction else fraction
            return False
        if message is not None:
            self.message = message
        self.fraction, self.at, self.held_back = fraction, now, None
        return True

    def last_words(self) -> float | None:
        """The progress that was said last and not told; None when all is told."""
        last, self.held_back = self.held_back, None
        return last


def progress_report(fraction: float, message: str) -> Report:
    """A report of progress."""
    return Report(kind=ReportKind.PROGRESS, payload=repr(fraction).encode(), text=message)


def line_of(entry: Entry, missing: int) -> LogLine:
    """Read an entry of a job's log."""
    told: dict[str, Any] = orjson.loads(entry.payload)
    return LogLine(
        message=told["message"],
        level=told["level"],
        logger=told["logger"],
        at=entry.at,
        attempt=entry.attempt,
        number=entry.number,
        missing=missing,
        extra=told.get("extra", {}),
        error=told.get("error", ""),
    )
