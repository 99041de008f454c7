"""What a number of progress means, and which of them are worth telling."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.model.report import Pace, Said, fraction_of

PACE = Pace()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (0, 0.0),
        (1, 0.01),
        (50, 0.5),
        (100, 1.0),
        (0.0, 0.0),
        (0.01, 0.01),
        (0.5, 0.5),
        (1.0, 1.0),
        (1.5, 0.015),
        (50.0, 0.5),
        (99.9, 0.999),
        (100.0, 1.0),
        (Fraction(1, 4), 0.25),
    ],
)
def test_an_int_is_a_percentage_and_a_float_up_to_one_a_fraction(said: Any, meant: float) -> None:
    assert fraction_of(said) == pytest.approx(meant)


@pytest.mark.parametrize(
    "wrong",
    [-1, 101, -0.1, 100.1, math.nan, math.inf, -math.inf, True, "50", None, Decimal(1), [1]],
)
def test_what_is_no_progress_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="progress must be"):
        fraction_of(wrong)


@given(st.one_of(st.integers(0, 100), st.floats(0, 100, allow_nan=False)))
def test_progress_is_from_0_to_1(progress: float) -> None:
    assert 0.0 <= fraction_of(progress) <= 1.0


MESSAGES = st.sampled_from([None, "", "a", "b"])
UPDATES = st.lists(
    st.tuples(st.sampled_from([n / 400 for n in range(401)]), MESSAGES, st.floats(0, 0.15)),
    min_size=1,
    max_size=60,
)


@given(UPDATES, st.sampled_from([PACE, Pace(0.0, 0.2), Pace(0.5, 10.0), Pace(1.0, 0.0)]))
def test_what_is_told_of_progress(
    updates: list[tuple[float, str | None, float]], pace: Pace
) -> None:
    said, now, message = Said(), 0.0, ""
    told: list[tuple[float, str, float]] = []
    for fraction, words, passed in updates:
        now += passed
        new_words = words is not None and words != message
        message = message if words is None else words
        news = said.is_news(fraction, words, now, pace)
        before = told[-1] if told else None
        expected = (
            before is None
            or new_words
            or (fraction == 1.0 and before[0] < 1.0)
            or (pace.min_delta > 0 and abs(fraction - before[0]) > pace.min_delta - 1e-9)
            or now - before[2] >= pace.min_interval
        )
        assert news == expected
        if news:
            told.append((fraction, said.message, now))
        assert said.message == message, "the message is that of the last one who said one"
    last = said.last_words()
    if last is not None:
        told.append((last, said.message, now))
    assert told[-1][:2] == (updates[-1][0], message), "what is said last is told at the end"
    assert said.last_words() is None


def test_progress_in_small_steps_is_told_once_in_an_interval() -> None:
    said = Said()
    told = sum(said.is_news(n / 1e6, None, n / 1000, Pace(0.01, 0.2)) for n in range(5_000))
    assert told == 25
