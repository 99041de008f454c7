"""How one attempt ended, as the worker reports it to the store."""

from __future__ import annotations

from enum import StrEnum

from attrs import define, frozen

from upnext.model.job import Held
from upnext.model.status import FailureReason


class Ending(StrEnum):
    """What is to become of the job."""

    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    RETRY = "retry"
    """Try again after `delay`; the attempt is spent."""
    SNOOZE = "snooze"
    """Run again after `delay`; the attempt is given back."""
    RELEASE = "release"
    """Hand back at once, first in line; the attempt is given back."""


@frozen(kw_only=True)
class Failure:
    """An error that outlives its process."""

    type: str
    """Qualified name of the exception's class."""
    message: str
    traceback: str = ""
    reason: FailureReason = FailureReason.EXCEPTION


@define(kw_only=True, eq=False)  # not frozen: made for every job, and freezing doubles the cost
class Outcome:
    """One settled attempt. Times are in milliseconds."""

    held: Held
    ending: Ending
    duration: int = 0
    """How long the function ran, measured by the worker's monotonic clock."""
    result: bytes = b""
    """JSON."""
    error: bytes = b""
    """JSON of a `Failure`."""
    delay: int = 0
    reason: str = ""
    dead_letter: bool = False


class Settled(StrEnum):
    """The store's answer to one outcome."""

    APPLIED = "applied"
    REPEATED = "repeated"
    """This very delivery was settled before: the first answer was lost on the way."""
    STALE = "stale"
    """Another delivery owns the job, or it is gone: nothing was written."""
