"""Expressions, zones and plans: what they accept, and what they say of what they do not."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from upnext.model.cron import WORDS, Cron, CronPlan, MissedRunPolicy, Overlap


def instants(expression: str, zone: str, start: str, count: int = 3) -> list[str]:
    """The first occurrences after a moment, as the zone's clock shows them."""
    cron, info = Cron(expression, zone), ZoneInfo(zone)
    at, found = round(datetime.fromisoformat(start).timestamp() * 1000), list[str]()
    for _ in range(count):
        at = cron.next_after(at)
        found.append(datetime.fromtimestamp(at / 1000, info).isoformat(timespec="seconds"))
    return found


def test_five_fields_six_with_seconds_first_and_words() -> None:
    start = "2026-01-31T23:59:59+00:00"
    assert instants("*/20 * * * *", "UTC", start, 2) == [
        "2026-02-01T00:00:00+00:00",
        "2026-02-01T00:20:00+00:00",
    ]
    assert instants("*/20 5 0 * * *", "UTC", start, 2) == [
        "2026-02-01T00:05:00+00:00",
        "2026-02-01T00:05:20+00:00",
    ]
    assert instants("0 12 29 feb *", "UTC", start, 1) == ["2028-02-29T12:00:00+00:00"]
    assert instants("0 9 * * mon-fri", "UTC", "2026-02-06T10:00:00+00:00", 1) == [
        "2026-02-09T09:00:00+00:00"
    ]
    for word, spelled in WORDS.items():
        assert instants(word, "UTC", start) == instants(spelled, "UTC", start)


def test_an_instant_is_not_after_itself() -> None:
    assert instants("0 * * * *", "UTC", "2026-01-01T00:00:00+00:00", 1) == [
        "2026-01-01T01:00:00+00:00"
    ]
    assert Cron("* * * * * *").next_after(1_500) == 2_000
    assert Cron("* * * * * *").first_from(2_000) == 2_000
    assert Cron("* * * * * *").first_from(2_001) == 3_000


NEW_YORK = "America/New_York"


def test_a_time_that_the_clock_skips_comes_right_after_the_jump() -> None:
    night = "2026-03-07T12:00:00-05:00"
    assert instants("30 2 * * *", NEW_YORK, night, 2) == [
        "2026-03-08T03:00:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]
    # Several skipped times, and one that is due right then anyway, are one.
    assert instants("0,30 2,3 * * *", NEW_YORK, night, 3) == [
        "2026-03-08T03:00:00-04:00",
        "2026-03-08T03:30:00-04:00",
        "2026-03-09T02:00:00-04:00",
    ]
    # At midnight as well: a day without its midnight has its job.
    assert instants("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00+02:00", 2) == [
        "2026-04-24T01:00:00+03:00",
        "2026-04-25T00:00:00+03:00",
    ]


def test_a_time_that_the_clock_shows_twice_comes_the_first_time() -> None:
    assert instants("30 1 * * *", NEW_YORK, "2026-10-31T12:00:00-04:00", 2) == [
        "2026-11-01T01:30:00-04:00",
        "2026-11-02T01:30:00-05:00",
    ]


def test_intervals_follow_the_time_that_passes() -> None:
    assert instants("*/30 * * * *", NEW_YORK, "2026-03-08T01:15:00-05:00") == [
        "2026-03-08T01:30:00-05:00",
        "2026-03-08T03:00:00-04:00",
        "2026-03-08T03:30:00-04:00",
    ]
    assert instants("*/30 * * * *", NEW_YORK, "2026-11-01T01:15:00-04:00", 4) == [
        "2026-11-01T01:30:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T01:30:00-05:00",
        "2026-11-01T02:00:00-05:00",
    ]
    assert instants("0 * * * *", NEW_YORK, "2026-11-01T00:30:00-04:00") == [
        "2026-11-01T01:00:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T02:00:00-05:00",
    ]


@pytest.mark.parametrize(
    ("expression", "is_interval"),
    [
        ("30 2 * * *", False),
        ("0 */6 * * *", False),
        ("0 0-22 * * *", False),
        ("5,35 * * * *", True),
        ("0 0-23 * * *", True),
        ("@hourly", True),
        ("@daily", False),
        ("*/15 2 * * *", True),
        ("* * 2 * * *", True),
        ("0 */5 2 * * *", True),
        ("0 30 2 * * *", False),
    ],
)
def test_what_is_an_interval(expression: str, is_interval: bool) -> None:
    assert Cron(expression).is_interval is is_interval


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "must have 5 fields"),
        ("* * * *", "must have 5 fields"),
        ("0 0 1 1 * * 2030", "must have 5 fields"),
        ("@reboot", "there are only @yearly"),
        ("@every 5m", "must have 5 fields"),
        ("61 * * * *", "out of range"),
        ("0 0 30 2 *", "there is no such date, ever"),
        ("0 0 * * someday", "not acceptable"),
        ("H * * * *", "H and R are not supported"),
        ("R(0-10) * * * *", "H and R are not supported"),
        ("*/0 * * * *", "step '0'"),
    ],
)
def test_what_is_no_schedule_is_named_in_one_line(expression: str, problem: str) -> None:
    with pytest.raises(ValueError, match="cron schedule") as caught:
        Cron(expression)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zone", ["Europe/Berln", "America", "", "../../etc/passwd", "\x00"])
def test_what_is_no_zone_is_named(zone: str) -> None:
    with pytest.raises(ValueError, match="not a zone of the tz database"):
        Cron("@hourly", zone)


def test_the_jitter_is_the_same_for_all_who_ask_and_spread() -> None:
    plan = CronPlan(expression="@hourly", jitter=60_000)
    puts = [plan.put_off("work", hour * 3_600_000) for hour in range(500)]
    again = CronPlan(expression="@hourly", jitter=60_000)
    assert puts == [again.put_off("work", hour * 3_600_000) for hour in range(500)]
    assert min(puts) >= 0
    assert max(puts) <= 60_000
    assert 25_000 < sum(puts) / len(puts) < 35_000
    assert puts != [plan.put_off("other", hour * 3_600_000) for hour in range(500)]
    assert CronPlan(expression="@hourly").put_off("work", 1) == 0


def test_a_plan_is_read_back_as_it_was() -> None:
    plan = CronPlan(
        expression="*/5 * * * *",
        timezone="Asia/Tokyo",
        jitter=1_500,
        missed_run_policy=MissedRunPolicy.CATCH_UP,
        max_catch_up=60_000,
        overlap=Overlap.QUEUE,
    )
    assert CronPlan.decode(plan.encode()) == plan
    assert CronPlan.decode(plan.encode()).encode() == plan.encode()


def test_the_newest_of_very_many_is_found_at_once() -> None:
    cron = Cron("* * * * * *")
    assert cron.latest(1_000, 40 * 365 * 86_400_000 + 999) == 40 * 365 * 86_400_000
    assert Cron("0 0 29 2 *").latest(951_782_400_000, 1_800_000_000_000) == 1_709_164_800_000
