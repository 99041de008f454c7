"""Crons over every change of every zone's clocks from 2020 to 2030, against a walk by the minute.

The walk knows nothing of how the model computes: it looks at the clock every minute and asks
whether what it shows matches, by a reading of expressions of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from upnext.model.cron import Cron, CronPlan, MissedRunPolicy

FIRST = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
LAST = int(datetime(2031, 1, 1, tzinfo=UTC).timestamp())
WEEK, HOUR, MINUTE = 7 * 86400, 3600, 60
AROUND = 3 * HOUR


@frozen
class Change:
    """A zone's clock is changed."""

    zone: str
    at: int
    before: int
    """Seconds ahead of UTC."""
    after: int

    @property
    def affected(self) -> tuple[datetime, datetime]:
        """What the clock skips, or shows twice: from, and up to."""
        shown = [at_clock(self.at + offset) for offset in (self.before, self.after)]
        return min(shown), max(shown)


def at_clock(local: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=local)


def offset(zone: ZoneInfo, second: int) -> int:
    found = datetime.fromtimestamp(second, zone).utcoffset()
    assert found is not None
    return round(found.total_seconds())


def changes_of(name: str) -> Iterator[Change]:
    zone = ZoneInfo(name)
    before = offset(zone, FIRST)
    for end in range(FIRST + WEEK, LAST, WEEK):
        after = offset(zone, end)
        if after == before:
            continue
        low, high = end - WEEK, end
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
        yield Change(name, high, before, after)
        before = after


@cache
def all_changes() -> list[Change]:
    """Every change; zones whose clocks are changed at the same instants by the same are one."""
    seen: dict[tuple[tuple[int, int, int], ...], list[Change]] = {}
    for name in sorted(available_timezones()):
        changes = list(changes_of(name))
        seen.setdefault(tuple((c.at, c.before, c.after) for c in changes), changes)
    return [change for changes in seen.values() for change in changes]


def values(field: str, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        if span == "*":
            low, high = "0", str(most)
        found |= {*range(int(low), int(high or low) + 1, int(step or 1))}
    return frozenset(found)


@cache
def walk(change: Change) -> tuple[list[tuple[int, datetime]], list[datetime]]:
    """What the clock shows every minute around a change, and the minutes that it skips."""
    zone = ZoneInfo(change.zone)
    span = AROUND + abs(change.after - change.before)
    shown = [
        (second, datetime.fromtimestamp(second, zone))
        for second in range(change.at - span, change.at + span, MINUTE)
    ]
    low, high = change.affected
    minutes = int((high - low).total_seconds()) // MINUTE if change.after > change.before else 0
    return shown, [low + timedelta(minutes=m) for m in range(minutes)]


def expected(expression: str, change: Change) -> list[int]:
    minute, hour, *_ = expression.split()
    minutes, hours = values(minute, 59), values(hour, 23)
    is_interval = minute.startswith("*") or len(hours) == 24
    shown, skipped = walk(change)

    def matches(at: datetime) -> bool:
        return at.minute in minutes and at.hour in hours

    found = {second for second, at in shown if matches(at) and (is_interval or at.fold == 0)}
    if not is_interval and any(map(matches, skipped)):
        found.add(change.at)
    return sorted(found)


def computed(expression: str, change: Change) -> list[int]:
    cron = Cron(expression, change.zone)
    shown, _ = walk(change)
    found: list[int] = []
    instant = shown[0][0] * 1000 - 1
    while (instant := cron.next_after(instant)) <= shown[-1][0] * 1000:
        found.append(instant // 1000)
    return found


def expressions(change: Change) -> list[str]:
    """Times before, at the start of, inside, at the end of and after what is affected."""
    low, high = change.affected
    inside = low + (high - low) / 2
    before, last = low - timedelta(minutes=10), high - timedelta(minutes=1)
    fixed = [f"{at.minute} {at.hour} * * *" for at in (before, low, inside, last, high)]
    return [
        *fixed,
        f"5,35 {low.hour},{high.hour} * * *",
        f"{low.minute} */2 * * *",
        f"*/20 {low.hour} * * *",
        "17 * * * *",
        "*/25 * * * *",
    ]


def test_the_database_has_changes_of_all_kinds() -> None:
    sizes = {change.after - change.before for change in all_changes()}
    assert {HOUR, -HOUR, HOUR // 2, -HOUR // 2} <= sizes
    assert len(all_changes()) > 500


@pytest.mark.hard_limit(120)
def test_every_change_of_every_zone() -> None:
    wrong = [
        (change, expression)
        for change in all_changes()
        for expression in expressions(change)
        if computed(expression, change) != expected(expression, change)
    ]
    assert wrong == []


minutes = st.one_of(
    st.integers(0, 59).map(str),
    st.lists(st.integers(0, 59), min_size=1, max_size=4).map(lambda n: ",".join(map(str, n))),
    st.sampled_from(("*", "*/7", "*/15", "*/30", "0-20/5", "30-59")),
)
hours = st.one_of(
    st.integers(0, 23).map(str),
    st.lists(st.integers(0, 23), min_size=1, max_size=4).map(lambda n: ",".join(map(str, n))),
    st.sampled_from(("*", "*/2", "*/3", "0-23", "0-5", "22-23", "1-23/2")),
)


@settings(max_examples=300)
@given(minute=minutes, hour=hours, data=st.data())
def test_any_expression_over_any_change(minute: str, hour: str, data: st.DataObject) -> None:
    change = data.draw(st.sampled_from(all_changes()))
    expression = f"{minute} {hour} * * *"
    assert computed(expression, change) == expected(expression, change)


@settings(max_examples=200)
@given(
    minute=minutes,
    hour=hours,
    zone=st.sampled_from(("UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca")),
    start=st.integers(FIRST, LAST - WEEK),
    long=st.integers(0, 2 * 86_400_000),
)
def test_the_latest_is_the_last_of_all(
    minute: str, hour: str, zone: str, start: int, long: int
) -> None:
    cron = Cron(f"{minute} {hour} * * *", zone)
    first = cron.next_after(start * 1000)
    now = first + long
    at, every = first, [first]
    while (at := cron.next_after(at)) <= now:
        every.append(at)
        assert every[-1] > every[-2], "instants only grow"
    assert cron.latest(first, now) == every[-1]


@settings(max_examples=300)
@given(
    policy=st.sampled_from(MissedRunPolicy),
    away=st.integers(0, 3 * 3_600_000),
    most=st.none() | st.integers(1_000, 2 * 3_600_000),
    expression=st.sampled_from(("* * * * *", "*/7 * * * *", "*/20 * * * * *", "0 */2 * * *")),
)
def test_what_is_due_is_decided_on_once_and_in_order(
    policy: MissedRunPolicy, away: int, most: int | None, expression: str
) -> None:
    plan = CronPlan(expression=expression, missed_run_policy=policy, max_catch_up=most)
    first = plan.cron.next_after(FIRST * 1000)
    now, next_at, made = first + away, first, list[int]()
    while next_at <= now:
        due = plan.due(next_at, now)
        assert due.following > next_at, "each answer decides on something"
        made += due.instants
        assert all(next_at <= instant < due.following for instant in due.instants)
        next_at = due.following
    assert next_at == plan.cron.next_after(now)
    assert made == sorted(set(made))
    every = [first]
    while (at := plan.cron.next_after(every[-1])) <= now:
        every.append(at)
    if away <= 10_000:
        assert made == every
    elif policy is MissedRunPolicy.LATEST_ONLY:
        assert made == every[-1:]
    elif policy is MissedRunPolicy.SKIP:
        assert made == [at for at in every if at >= now - 10_000]
    else:
        oldest = first if most is None else now - max(most, 10_000)
        assert made == [at for at in every if at >= oldest]
