"""When a process that ended is started again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.supervision.restarts import (
    FIRST_DELAY,
    LONGEST_DELAY,
    START_ATTEMPTS,
    STEADY,
    USAGE,
    Restarts,
)

CHANCES = st.floats(0, 1)
ENDS = st.tuples(st.integers(-64, 255), st.none() | st.floats(0, 1e9), CHANCES)


def test_each_end_in_a_row_doubles_the_delay_up_to_the_longest() -> None:
    restarts = Restarts()
    delays = [restarts.after(1, worked=1, proven=True, chance=1) for _ in range(12)]
    assert delays[:4] == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4, FIRST_DELAY * 8]
    assert delays[-1] == LONGEST_DELAY


def test_a_process_that_worked_long_starts_over() -> None:
    restarts = Restarts()
    for _ in range(9):
        restarts.after(-9, worked=1, proven=True, chance=1)
    assert restarts.after(-9, worked=STEADY, proven=True, chance=1) == FIRST_DELAY


def test_a_service_that_never_started_is_given_up() -> None:
    restarts = Restarts()
    for _ in range(START_ATTEMPTS - 1):
        assert restarts.after(1, worked=None, proven=False, chance=0) is not None
    assert restarts.after(1, worked=None, proven=False, chance=0) is None


def test_one_that_cannot_run_as_asked_is_given_up_at_once() -> None:
    assert Restarts().after(USAGE, worked=None, proven=False, chance=0) is None


@given(st.lists(ENDS, min_size=1, max_size=100))
def test_a_service_that_ran_once_is_never_given_up_and_never_hammered(
    ends: list[tuple[int, float | None, float]],
) -> None:
    restarts = Restarts()
    for code, worked, chance in ends:
        delay = restarts.after(code, worked=worked, proven=True, chance=chance)
        assert delay is not None
        assert FIRST_DELAY / 2 <= delay <= LONGEST_DELAY


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_chance_spreads_the_delay_over_its_upper_half(chance: float) -> None:
    delay = Restarts().after(1, worked=None, proven=True, chance=chance)
    assert delay == FIRST_DELAY * (0.5 + chance / 2)
