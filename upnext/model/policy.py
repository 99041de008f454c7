"""Pure decisions: whether to try again and when, how fast, how many. No clock, no I/O."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from attrs import Attribute, field, frozen

LONGEST_DELAY = 365 * 24 * 3600.0
"""Seconds: no attempt is put off for longer, whatever the backoff comes to."""

ErrorTypes = tuple[type[BaseException], ...]


def seconds(value: float | timedelta, what: str) -> float:
    """A duration in seconds, given as a number of seconds or a `timedelta`.

    Args:
        value: The duration.
        what: What it is called in the error message.

    Raises:
        ValueError: it is negative, or not a finite number.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else _number(value, what)
    if not 0 <= number < math.inf:
        raise ValueError(f"{what} must be 0 or more seconds, not {value!r}")
    return number


def _whole_number(instance: object, attribute: Attribute[int], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"retries must be a whole number, 0 or more, not {value!r}")


def _delay(value: float | timedelta) -> float:
    return seconds(value, "retry_delay")


def _longest_delay(value: float | timedelta | None) -> float | None:
    return None if value is None else seconds(value, "retry_max_delay")


def _at_least_one(instance: object, attribute: Attribute[float], value: object) -> None:
    if not 1 <= _number(value, "retry_backoff") < math.inf:
        raise ValueError(f"retry_backoff must be 1 or more, not {value!r}")


def _fraction(instance: object, attribute: Attribute[float | bool], value: object) -> None:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"retry_jitter must be from 0 to 1, True or False, not {value!r}")


@frozen(kw_only=True)
class RetryPolicy:
    """How often a failed job is tried again, and how long it waits before each try.

    Raises:
        ValueError: a parameter cannot be used.
    """

    retries: int = field(default=0, validator=_whole_number)
    """Tries after the first one."""
    delay: float = field(default=1.0, converter=_delay)
    """Seconds before the first retry; a `timedelta` is taken as well."""
    backoff: float = field(default=2.0, validator=_at_least_one)
    """Each further retry waits this many times longer."""
    jitter: float | bool = field(default=False, validator=_fraction)
    """Spreads each delay over plus or minus this fraction of it; True is one half."""
    max_delay: float | None = field(default=None, converter=_longest_delay)
    """Seconds: the longest delay."""

    @property
    def max_attempts(self) -> int:
        """The first try and all retries."""
        return self.retries + 1

    def retry_delay(self, attempt: int, random: float) -> float:
        """Seconds to wait after attempt number `attempt` failed.

        Args:
            attempt: The failed attempt, counted from 1.
            random: A random number from 0 to below 1, for the jitter.
        """
        most = LONGEST_DELAY if self.max_delay is None else min(self.max_delay, LONGEST_DELAY)
        try:
            delay = self.delay * self.backoff ** (attempt - 1)
        except OverflowError:
            delay = most if self.delay else 0.0
        fraction = 0.5 if self.jitter is True else float(self.jitter)
        if fraction:
            # Jobs that failed together, for one cause, must not come back together.
            delay = min(delay, most) * (1 + fraction * (2 * random - 1))
        return min(delay, most)

    def should_retry(
        self,
        attempt: int,
        error_type: type[BaseException],
        retry_on: ErrorTypes = (),
        no_retry_on: ErrorTypes = (),
    ) -> bool:
        """Whether attempt number `attempt`, which failed with `error_type`, is followed by another.

        Args:
            attempt: The failed attempt, counted from 1.
            error_type: What it raised.
            retry_on: See `retries_on`.
            no_retry_on: See `retries_on`.
        """
        return attempt <= self.retries and retries_on(error_type, retry_on, no_retry_on)


def retries_on(
    error_type: type[BaseException], retry_on: ErrorTypes, no_retry_on: ErrorTypes
) -> bool:
    """Whether this kind of error is worth another attempt.

    Args:
        error_type: What was raised.
        retry_on: These errors only; empty: every error.
        no_retry_on: Never these, even where `retry_on` has them or a base of theirs.
    """
    if issubclass(error_type, no_retry_on):
        return False
    return not retry_on or issubclass(error_type, retry_on)


_RATE = re.compile(r"\s*(\d+)\s*/\s*(?:(\d+)\s*)?([a-z]+)\s*", re.IGNORECASE)
_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
}


@frozen
class RateLimit:
    """So many jobs in so many seconds."""

    count: int
    window: float
    """Seconds."""

    @classmethod
    def parse(cls, text: str) -> RateLimit:
        """Read "100/m", "5/10s", "10/minute", "1000/hour".

        Raises:
            ValueError: the text is none of these.
        """
        match = _RATE.fullmatch(text)
        unit = _UNITS.get(match[3].lower()) if match else None
        if match is None or unit is None:
            raise ValueError(
                f"rate_limit {text!r} must be <count>/<s, m, h or d>, such as '100/m' or '5/10s'"
            )
        count, window = int(match[1]), int(match[2] or 1) * unit
        if not count or not window:
            raise ValueError(f"rate_limit {text!r} would never let a job run")
        return cls(count, float(window))


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{what} must be a number, not {value!r}")
    return value
