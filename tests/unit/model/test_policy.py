"""Retry decisions, delays and rate limits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.model.policy import LONGEST_DELAY, RateLimit, RetryPolicy, retries_on, seconds

FRACTIONS = st.floats(0, 1, exclude_max=True)


def test_delays_grow_by_the_backoff() -> None:
    policy = RetryPolicy(retries=5, delay=1.5, backoff=2)
    assert [policy.retry_delay(n, 0.7) for n in (1, 2, 3)] == [1.5, 3.0, 6.0]


@given(
    st.floats(0, 1e6),
    st.floats(1, 100),
    st.floats(0, 1) | st.booleans(),
    st.none() | st.floats(0, 1e6),
    st.integers(1, 10_000),
    FRACTIONS,
)
def test_no_delay_is_longer_than_allowed(
    delay: float,
    backoff: float,
    jitter: float,
    max_delay: float | None,
    attempt: int,
    random: float,
) -> None:
    policy = RetryPolicy(
        retries=1, delay=delay, backoff=backoff, jitter=jitter, max_delay=max_delay
    )
    got = policy.retry_delay(attempt, random)
    assert 0 <= got <= (LONGEST_DELAY if max_delay is None else max_delay)


@given(FRACTIONS)
def test_jitter_spreads_both_ways(random: float) -> None:
    assert 7.5 <= RetryPolicy(delay=10, jitter=0.25).retry_delay(1, random) <= 12.5
    assert 5 <= RetryPolicy(delay=10, jitter=True).retry_delay(1, random) <= 15


@given(st.integers(0, 5), st.integers(1, 10))
def test_as_many_attempts_as_promised(retries: int, attempt: int) -> None:
    policy = RetryPolicy(retries=retries)
    assert policy.should_retry(attempt, ValueError) is (attempt < policy.max_attempts)


@pytest.mark.parametrize(
    ("error", "retry_on", "no_retry_on", "worth_it"),
    [
        (ValueError, (), (), True),
        (ValueError, (OSError,), (), False),
        (ConnectionError, (OSError,), (), True),
        (ConnectionError, (), (OSError,), False),
        (ConnectionError, (ConnectionError,), (OSError,), False),
        (FileExistsError, (OSError,), (ConnectionError,), True),
    ],
)
def test_filters(error: type, retry_on: tuple, no_retry_on: tuple, worth_it: bool) -> None:
    assert retries_on(error, retry_on, no_retry_on) is worth_it
    assert RetryPolicy(retries=1).should_retry(1, error, retry_on, no_retry_on) is worth_it


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": -1},
        {"retries": True},
        {"retries": 1.5},
        {"delay": -1},
        {"delay": float("nan")},
        {"backoff": 0.5},
        {"jitter": 2},
        {"max_delay": -1},
    ],
    ids=repr,
)
def test_wrong_policies_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


@pytest.mark.parametrize(
    ("text", "count", "window"),
    [
        ("100/m", 100, 60),
        ("5/10s", 5, 10),
        ("10/minute", 10, 60),
        ("1000/hour", 1000, 3600),
        (" 1 / 2 days ", 1, 172_800),
        ("3/S", 3, 1),
    ],
)
def test_rates(text: str, count: int, window: float) -> None:
    assert RateLimit.parse(text) == RateLimit(count, window)


@pytest.mark.parametrize("text", ["", "10", "10/", "/m", "10/week", "-1/m", "0/m", "1/0s", "1.5/m"])
def test_wrong_rates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate_limit"):
        RateLimit.parse(text)


def test_durations() -> None:
    assert seconds(timedelta(minutes=1), "delay") == 60
    assert seconds(2, "delay") == 2
    for wrong in (-1, float("inf"), "5", True, timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="delay"):
            seconds(wrong, "delay")  # type: ignore[arg-type]
