"""Limits: what a function may do at once and in a time. Whole numbers, no clock, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

LONGEST_KEY = 128
"""Bytes of a limit key that are stored as they are; of a longer one it is a digest."""
MOST_UNITS = 2**53
"""The scripts count in doubles, which are exact up to here."""


@frozen
class Bucket:
    """How much of a rate was left at a time; no bucket is a full one."""

    level: int
    at: int
    """Unix milliseconds."""
    window: int
    """That of the rate it was filled by."""
    full_at: int
    """When that rate has filled it; from then on it is forgotten, whatever the rate is then."""


@frozen
class Rate:
    """A token bucket: so many starts in so many milliseconds.

    It holds `count` starts, begins full, and gains one every `window / count` milliseconds. To
    keep to whole numbers, one start takes `window` units and each millisecond brings `count`. So in
    any stretch of `t` milliseconds at most `count + t * count / window` jobs start.
    """

    count: int
    window: int

    @property
    def full(self) -> int:
        """Units that it holds."""
        return self.count * self.window

    def level(self, bucket: Bucket | None, now: int) -> int:
        """How many units are there now. A clock that goes back brings none and takes none."""
        if bucket is None:
            return self.full
        passed = max(0, now - bucket.at)
        if passed >= self.window or now > bucket.full_at:
            return self.full
        level = bucket.level
        if bucket.window != self.window:  # the limit was changed: starts count, not units
            level = level // bucket.window * self.window
        return min(self.full, level + passed * self.count)

    def starts(self, level: int) -> int:
        """How many jobs may start at once."""
        return level // self.window

    def after(self, level: int, started: int, now: int) -> Bucket:
        """What is left when so many started."""
        left = level - started * self.window
        full_at = now + max(1, -(-(self.full - left) // self.count))
        return Bucket(left, now, self.window, full_at)

    def wait(self, level: int) -> int:
        """Milliseconds until one more may start; 0: it may now."""
        return max(0, -(-(self.window - level) // self.count))


@frozen(kw_only=True)
class Limits:
    """How one function is limited. A rate, and a number of jobs at once, is for the whole
    function or for each value of a key."""

    most: int | None = None
    """Jobs of the function that run at once, in the workspace."""
    most_per_key: int | None = None
    """Jobs with the same concurrency key that run at once."""
    rate: Rate | None = None
    rate_per_key: Rate | None = None
    group: str | None = None
    """What shares one limit with other functions."""
    group_most: int | None = None
    """Jobs of the group that run at once."""

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> Limits:
        """Those that a task's description tells of (`TaskDefinition.describe`)."""
        told = definition.get("rate_limit")
        rate = None if told is None else Rate(told["count"], round(told["seconds"] * 1000))
        most = definition.get("max_concurrency")
        by_rate, by_number = definition.get("rate_limit_key"), definition.get("concurrency_key")
        return cls(
            most=None if by_number else most,
            most_per_key=most if by_number else None,
            rate=None if by_rate else rate,
            rate_per_key=rate if by_rate else None,
            group=definition.get("routing_group"),
            group_most=definition.get("group_max_concurrency"),
        )

    @property
    def fields(self) -> dict[str, int]:
        """The fields of a function's gate (`store/lua/_ring.lua`)."""
        rate, each = self.rate, self.rate_per_key
        fields = {
            "max": self.most,
            "keymax": self.most_per_key,
            "rate": rate and rate.count,
            "window": rate and rate.window,
            "keyrate": each and each.count,
            "keywindow": each and each.window,
            "group": None if self.group is None else 1,
        }
        return {name: value for name, value in fields.items() if value is not None}


@frozen
class Gate:
    """What binds one function now: its limits, and a pause."""

    limits: Limits = field(factory=Limits)
    paused: int | None = None
    """Unix milliseconds when the pause ends; 0: it does not; None: there is none."""


def limit_keys(concurrency: str, rate: str) -> str:
    """The keys of one job as one text: the length of the first, `:`, both.

    Args:
        concurrency: Whose jobs it is counted among; '' for none.
        rate: Whose rate it is counted against; '' for none.
    """
    first, second = _short(concurrency), _short(rate)
    return f"{len(first.encode())}:{first}{second}" if first or second else ""


def split_keys(keys: str) -> tuple[str, str]:
    """The concurrency key and the rate key in such a text."""
    length, _, both = keys.partition(":")
    raw = both.encode()
    return raw[: int(length)].decode(), raw[int(length) :].decode()


def _short(key: str) -> str:
    raw = key.encode()
    if len(raw) <= LONGEST_KEY:
        return key
    start = raw[: LONGEST_KEY // 2].decode(errors="ignore")
    return f"{start}~{hashlib.sha256(raw).hexdigest()[:32]}"
