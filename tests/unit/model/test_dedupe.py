"""What a submit does to the job it meets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from upnext.model.dedupe import Dedupe, DedupeKind, Meeting, gives_up, meeting, put_off
from upnext.model.status import JobStatus

statuses = st.none() | st.sampled_from(JobStatus)
times = st.integers(0, 10**6)


@given(status=statuses, delivery=st.integers(0, 3))
def test_what_is_unique_is_joined_whatever_became_of_it(
    status: JobStatus | None, delivery: int
) -> None:
    assert meeting(DedupeKind.UNIQUE, status, delivery) is Meeting.JOIN


@given(status=statuses)
def test_a_debounced_job_is_replaced_while_it_waits_for_its_window(
    status: JobStatus | None,
) -> None:
    waits = status is JobStatus.SCHEDULED
    expected = Meeting.REPLACE if waits else Meeting.NEW
    assert meeting(DedupeKind.DEBOUNCE, status, 0) is expected


@given(status=statuses, delivery=st.integers(0, 3))
def test_a_job_to_rerun_is_followed_once_it_has_started(
    status: JobStatus | None, delivery: int
) -> None:
    found = meeting(DedupeKind.RERUN, status, delivery)
    if status is None or status.is_terminal():
        assert found is Meeting.NEW
    else:
        assert found is (Meeting.FOLLOW if delivery else Meeting.REPLACE)


@given(kind=st.sampled_from(DedupeKind), status=st.sampled_from(JobStatus))
def test_only_a_period_outlives_its_job(kind: DedupeKind, status: JobStatus) -> None:
    stays = kind is DedupeKind.UNIQUE and status is JobStatus.COMPLETE
    assert gives_up(kind, status) is not stays


@given(
    window=st.integers(1, 10**5),
    most=st.none() | times,
    gaps=st.lists(times, min_size=1, max_size=20),
)
def test_a_debounced_job_is_quiet_for_its_window_or_waited_long_enough(
    window: int, most: int | None, gaps: list[int]
) -> None:
    now = last = first = 1_000
    due = put_off(now, window, first, most)
    for gap in gaps:
        now += gap
        if now >= due:
            break
        later = put_off(now, window, first, most)
        assert later >= due, "more submits never bring it forward"
        due, last = later, now
    assert due == last + window or (most is not None and due == first + most < last + window)


def test_a_mark_names_kind_and_key() -> None:
    assert Dedupe(DedupeKind.RERUN, "a:b").mark == "rerun:a:b"
