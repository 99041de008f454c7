"""The words for where a job stands, and the way from one to another."""

from __future__ import annotations

import pytest

from upnext import FailureReason, JobStatus

OVER = {JobStatus.COMPLETE, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED}


def test_the_words_that_users_know() -> None:
    words = {"queued", "complete", "failed", "cancelled"}
    assert words <= {status.value for status in JobStatus}
    assert JobStatus.PENDING is JobStatus.RETRYING is JobStatus.SCHEDULED
    assert JobStatus.ACTIVE is JobStatus.RUNNING
    known = {"timeout", "exception", "cancelled", "unknown"}
    assert known <= {reason.value for reason in FailureReason}


@pytest.mark.parametrize("status", JobStatus)
def test_what_is_over_stays_over(status: JobStatus) -> None:
    assert status.is_terminal() is (status in OVER)
    if status in OVER:
        assert not any(status.can_transition_to(other) for other in JobStatus)


@pytest.mark.parametrize("status", [one for one in JobStatus if one not in OVER])
def test_everything_else_can_end(status: JobStatus) -> None:
    reached, found = {status}, {status}
    while found:
        found = {to for one in found for to in JobStatus if one.can_transition_to(to)} - reached
        reached |= found
    assert reached >= OVER


def test_no_way_leads_around_the_queue() -> None:
    assert not JobStatus.SCHEDULED.can_transition_to(JobStatus.RUNNING)
    assert not JobStatus.QUEUED.can_transition_to(JobStatus.COMPLETE)
    assert JobStatus.RUNNING.can_transition_to(JobStatus.QUEUED)
