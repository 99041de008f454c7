"""When a cron is due: expressions, the clock of a time zone, and what to do about missed times.

Instants are Unix milliseconds. Nothing here reads a clock.

On days when a zone's clocks change, an expression is read in one of two ways.

- It names times (`30 2 * * *`, `0 */6 * * *`): each of its local times happens once. One that the
  clock skips happens right after the jump; one that the clock shows twice happens the first time.
- It names an interval (`*/15 * * * *`, `0 * * * *`, `* 2 * * *`): it is due whenever the clock
  shows a time that matches, so that its runs follow the time that really passes.

Intervals are the expressions whose minutes (or seconds) begin with `*`, and those that name every
hour. The manual of cron on Debian draws the same line.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

import orjson
from attrs import field, frozen

if TYPE_CHECKING:
    from croniter import croniter

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MISSED_AFTER = 10_000
"""Milliseconds: an occurrence that nobody saw to for so long counts as missed. Until then it is
late, and runs."""
MOST_AT_ONCE = 100
"""Occurrences of a schedule, or schedules, that are seen to in one go."""

_EPOCH = datetime(1970, 1, 1)
_SCAN = 12 * 3600
"""Seconds: no zone changes its offset twice in so short a time."""
_RANDOM_FIELD = re.compile(r"(?<![A-Za-z])[HhRr](?![A-Za-z])")


class MissedRunPolicy(StrEnum):
    """What becomes of occurrences that nobody saw to, because no worker ran."""

    LATEST_ONLY = "latest_only"
    """The newest one runs, once."""
    CATCH_UP = "catch_up"
    """Every one runs, oldest first, as far back as `max_catch_up_seconds` says."""
    SKIP = "skip"
    """None runs."""


class Overlap(StrEnum):
    """What becomes of an occurrence while the job of an earlier one is not over."""

    ALLOW = "allow"
    """It runs beside it."""
    SKIP = "skip"
    """It does not run."""
    QUEUE = "queue"
    """It waits until that one is over: one at a time, none is left out."""


@frozen
class Cron:
    """A cron expression on the clock of a time zone. For one thread at a time.

    Args:
        expression: Five fields (minute, hour, day, month, weekday), six with seconds first, or a
            word such as `@hourly`.
        timezone: A zone of the tz database, such as `Europe/Berlin`.

    Raises:
        ValueError: one of them cannot be used; one line says why.
    """

    expression: str
    timezone: str = "UTC"
    zone: tzinfo = field(init=False, eq=False, repr=False)
    is_interval: bool = field(init=False, eq=False, repr=False)
    """Whether it follows the time that passes, and not the times that the clock shows."""
    _iterator: croniter = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        zone = UTC if self.timezone == "UTC" else _zone(self.timezone)
        fields, iterator = _parse(self.expression)
        object.__setattr__(self, "zone", zone)
        object.__setattr__(self, "is_interval", _is_interval(fields, iterator))
        object.__setattr__(self, "_iterator", iterator)

    def next_after(self, instant: int) -> int:
        """The first occurrence after an instant."""
        second = instant // 1000  # occurrences are whole seconds
        return 1000 * (self._interval(second) if self.is_interval else self._time(second))

    def first_from(self, instant: int) -> int:
        """The first occurrence at an instant or after it."""
        return self.next_after(instant - 1)

    def latest(self, first: int, now: int) -> int:
        """The newest occurrence up to `now`, where `first` is one; in a few dozen steps."""
        low, high = first, now
        while high - low >= 1000:
            middle = (low + high) // 2
            after = self.next_after(middle)
            if after <= now:
                low = after
            else:
                high = middle
        return low

    def _time(self, second: int) -> int:
        local = second + self._offset(second)
        while True:
            local = self._shown_next(local)
            if (found := self._instant_of(local)) > second:
                return found

    def _interval(self, second: int) -> int:
        offset = self._offset(second)
        local = second + offset
        while True:
            found = self._shown_next(local) - offset
            change = self._change(second, found, offset)
            if change is None:
                return found
            # Nothing was due until the clock was changed: go on with what it shows from there.
            second, offset = change, self._offset(change)
            local = change + offset - 1

    def _shown_next(self, local: int) -> int:
        """The next matching time on a clock that is never changed; seconds since 1970 on it."""
        return int(self._iterator.get_next(float, start_time=float(local)))

    def _offset(self, second: int) -> int:
        """How many seconds the clock is ahead of UTC at an instant."""
        return _whole(datetime.fromtimestamp(second, self.zone).utcoffset())

    def _instant_of(self, local: int) -> int:
        shown = (_EPOCH + timedelta(seconds=local)).replace(tzinfo=self.zone)
        first, second = _whole(shown.utcoffset()), _whole(shown.replace(fold=1).utcoffset())
        if second <= first:  # shown once, or twice: then the first time
            return local - first
        # Never shown: https://peps.python.org/pep-0495/ gives the offsets before and after.
        return self._change_within(local - second, local - first, first)

    def _change(self, second: int, until: int, offset: int) -> int | None:
        """The first instant in (second, until] at which the clock has another offset."""
        while second < until:
            step = min(second + _SCAN, until)
            if self._offset(step) != offset:
                return self._change_within(second, step, offset)
            second = step
        return None

    def _change_within(self, low: int, high: int, offset: int) -> int:
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high


@frozen
class Due:
    """What is to run of a cron, and when to look again."""

    instants: list[int]
    following: int
    """The first occurrence that is not decided on."""
    missed_before: int
    """Instants before this one were missed."""


@frozen(kw_only=True)
class CronPlan:
    """Everything that decides which jobs a cron makes, and when.

    Raises:
        ValueError: as `Cron`.
    """

    expression: str
    timezone: str = "UTC"
    jitter: int = 0
    """Milliseconds by which an occurrence may be put off; by how much, only itself decides."""
    missed_run_policy: MissedRunPolicy = MissedRunPolicy.LATEST_ONLY
    max_catch_up: int | None = None
    """Milliseconds; None: everything is caught up with."""
    overlap: Overlap = Overlap.ALLOW
    cron: Cron = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "cron", Cron(self.expression, self.timezone))

    def due(self, first: int, now: int) -> Due:
        """What to run of the occurrences from `first`, which is one, up to `now`.

        As long as the first one is not missed, all of them run; up to `MOST_AT_ONCE` in one go.
        """
        on_time = now - MISSED_AFTER
        at = first
        if first < on_time:
            if self.missed_run_policy is MissedRunPolicy.LATEST_ONLY:
                latest = self.cron.latest(first, now)
                return Due([latest], self.cron.next_after(latest), on_time)
            oldest = on_time
            if self.missed_run_policy is MissedRunPolicy.CATCH_UP:
                oldest = first
                if self.max_catch_up is not None:
                    oldest = now - max(self.max_catch_up, MISSED_AFTER)
            if oldest > first:
                at = self.cron.first_from(oldest)
        instants: list[int] = []
        while at <= now and len(instants) < MOST_AT_ONCE:
            instants.append(at)
            at = self.cron.next_after(at)
        return Due(instants, at, on_time)

    def put_off(self, seed: str, instant: int) -> int:
        """Milliseconds by which the jitter puts off one occurrence, from 0 to `jitter`.

        Whoever asks gets the same answer: schedulers that race must agree.
        """
        if not self.jitter:
            return 0
        digest = hashlib.sha256(f"{seed} {instant}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % (self.jitter + 1)

    def encode(self) -> bytes:
        """As JSON; equal plans are equal bytes."""
        return orjson.dumps(
            {
                "expression": self.expression,
                "timezone": self.timezone,
                "jitter": self.jitter,
                "missed_run_policy": self.missed_run_policy,
                "max_catch_up": self.max_catch_up,
                "overlap": self.overlap,
            }
        )

    @classmethod
    def decode(cls, text: bytes) -> CronPlan:
        """Read what `encode` wrote.

        Raises:
            ValueError: This release, or this machine's tz database, cannot use it.
        """
        raw: dict[str, Any] = orjson.loads(text)
        return cls(
            expression=raw["expression"],
            timezone=raw["timezone"],
            jitter=raw["jitter"],
            missed_run_policy=MissedRunPolicy(raw["missed_run_policy"]),
            max_catch_up=raw["max_catch_up"],
            overlap=Overlap(raw["overlap"]),
        )


def _parse(text: str) -> tuple[list[str], croniter]:
    # Imported by those who have crons: it takes as long as all of our declarations.
    from croniter import croniter
    from croniter.croniter import CroniterBadDateError, CroniterError

    words = text.split()
    if len(words) == 1 and text.strip().startswith("@"):
        spelled = WORDS.get(words[0].lower())
        if spelled is None:
            raise ValueError(f"cron schedule {text!r}: there are only {', '.join(WORDS)}")
        words = spelled.split()
    if len(words) not in (5, 6):
        raise ValueError(
            f"cron schedule {text!r} must have 5 fields (minute hour day month weekday), 6 with"
            " seconds first, or be a word such as @hourly"
        )
    if any(_RANDOM_FIELD.search(word) for word in words):
        raise ValueError(f"cron schedule {text!r}: H and R are not supported; see jitter=")
    try:
        iterator = croniter(" ".join(words), 0.0, second_at_beginning=True)
        iterator.get_next(float)
    except CroniterBadDateError:
        raise ValueError(f"cron schedule {text!r}: there is no such date, ever") from None
    except (CroniterError, ValueError) as error:
        problem = str(error).removeprefix(f"[{' '.join(words)}] ")
        raise ValueError(f"cron schedule {text!r}: {problem}") from None
    return words, iterator


def _is_interval(fields: list[str], iterator: croniter) -> bool:
    expanded: list[list[Any]] = iterator.expanded
    hours = {*expanded[1]}
    every_hour = hours == {"*"} or hours >= {*range(24)}
    return every_hour or any(each.startswith("*") for each in fields[: len(fields) - 4])


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # a directory of zones is an OSError
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f": did you mean {near[0]!r}?" if near else ", such as 'Europe/Berlin'"
        raise ValueError(f"timezone {name!r} is not a zone of the tz database{hint}") from None


def _whole(offset: timedelta | None) -> int:
    return 0 if offset is None else round(offset.total_seconds())
