"""How one submit differs from a plain one."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from attrs import Factory, evolve, field, frozen

from upnext.client.dedupe import Dedupes
from upnext.model.job import HIGHEST_PRIORITY, LOWEST_PRIORITY
from upnext.model.policy import seconds

LONGEST_KEY = 256


def _marks_job(it: SubmitOptions) -> bool:
    own = (it.delay, it.at, it.priority, it.deadline, it.key)
    return own != (None, None, 0, None, "")


@frozen(kw_only=True)
class SubmitOptions:
    """Options that were checked already. Times are in milliseconds."""

    delay: int | None = None
    at: int | None = None
    """Unix time."""
    priority: int = 0
    deadline: int | None = None
    """Unix time."""
    budget: int | None = None
    """A deadline counted from when the store accepts the job."""
    key: str = ""
    wait_timeout: float | None = None
    """Seconds."""
    dedupes: Dedupes | None = None
    """How it is deduplicated, other than by an idempotency key."""
    fresh: bool = False
    """Take no cached result."""
    marks_job: bool = field(init=False, repr=False, default=Factory(_marks_job, takes_self=True))
    """Whether a job made with these differs from a plain one by itself, before its arguments and
    the moment of its submit have a say."""

    def changed(
        self,
        *,
        delay: float | timedelta | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        deadline: float | timedelta | datetime | None = None,
        key: str | None = None,
        wait_timeout: float | timedelta | None = None,
        unique_for: float | timedelta | None = None,
        unique_key: str | None = None,
        debounce: float | timedelta | None = None,
        debounce_key: str | None = None,
        debounce_max: float | timedelta | None = None,
        rerun_key: str | None = None,
        fresh: bool | None = None,
    ) -> SubmitOptions:
        """These options with some of them changed; see `TaskHandle.options`.

        Raises:
            ValueError: an option cannot be used.
        """
        changes: dict[str, Any] = {}
        if delay is not None:
            changes["delay"] = milliseconds(delay, "delay")
        if at is not None:
            changes["at"] = moment(at, "at")
        if delay is not None and at is not None:
            raise ValueError("give either delay or at, not both")
        if delay is not None or at is not None:
            changes = {"delay": None, "at": None, **changes}
        if priority is not None:
            changes["priority"] = _priority(priority)
        if isinstance(deadline, datetime):
            changes |= {"deadline": moment(deadline, "deadline"), "budget": None}
        elif deadline is not None:
            changes |= {"deadline": None, "budget": milliseconds(deadline, "deadline")}
        if key is not None:
            changes["key"] = checked_key(key)
        if wait_timeout is not None:
            changes["wait_timeout"] = seconds(wait_timeout, "wait_timeout")
        if fresh is not None:
            changes["fresh"] = fresh
        dedupes = Dedupes.of(
            self.dedupes,
            unique_for=unique_for,
            unique_key=unique_key,
            debounce=debounce,
            debounce_key=debounce_key,
            debounce_max=debounce_max,
            rerun_key=rerun_key,
        )
        if key is not None:
            if dedupes is not None and dedupes is not self.dedupes:
                raise ValueError(f"give either key or {dedupes.name}, not both")
            changes["dedupes"] = None
        elif dedupes is not self.dedupes:
            changes |= {"dedupes": dedupes, "key": ""}
        changed = evolve(self, **changes)
        if changed.dedupes is not None:
            changed.dedupes.check_time(timed=changed.delay is not None or changed.at is not None)
        return changed


def checked_key(key: str) -> str:
    """An idempotency key, stripped.

    Raises:
        ValueError: it is empty or too long.
    """
    stripped = key.strip()
    if not 1 <= len(stripped) <= LONGEST_KEY:
        raise ValueError(f"an idempotency key has 1 to {LONGEST_KEY} characters, not {key!r:.80}")
    return stripped


def _priority(value: int) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not whole or not LOWEST_PRIORITY <= value <= HIGHEST_PRIORITY:
        raise ValueError(
            f"priority must be a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}"
            f" (higher is first), not {value!r}"
        )
    return value


def milliseconds(value: float | timedelta, what: str) -> int:
    """A duration, given in seconds or as a `timedelta`."""
    return round(seconds(value, what) * 1000)


def moment(value: datetime, what: str) -> int:
    """Unix milliseconds of a moment.

    Raises:
        ValueError: it has no time zone.
    """
    if value.tzinfo is None:
        example = datetime.fromtimestamp(time.time()).astimezone().isoformat(timespec="seconds")
        raise ValueError(
            f"{what}={value!r} has no time zone: pass an aware datetime, such as {example}"
        )
    return round(value.timestamp() * 1000)
