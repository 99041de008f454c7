from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upnext.redis.retry import Backoff


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(0, 0.0), (1, 0.05), (2, 0.1), (3, 0.2), (5, 0.8), (6, 1.0), (10_000, 1.0)],
)
def test_delays_double_up_to_the_cap(failures: int, longest: float) -> None:
    assert Backoff(random=lambda: 0.0).delay(failures) == pytest.approx(longest / 2)
    assert Backoff(random=lambda: 1.0).delay(failures) == pytest.approx(longest)


@given(failures=st.integers(min_value=1), random=st.floats(0, 1, exclude_max=True))
def test_a_delay_stays_within_half_and_whole(failures: int, random: float) -> None:
    backoff = Backoff(base=0.1, cap=2.0, random=lambda: random)
    assert 0.05 <= backoff.delay(failures) <= 2.0
