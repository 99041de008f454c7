"""Every way an attempt can end, and what becomes of the job then."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.support.claimed import a_job
from upnext import Discard, Retry, Snooze
from upnext.model.outcome import Ending, Outcome
from upnext.model.status import CancelReason
from upnext.tasks.definition import TaskDefinition
from upnext.worker.execution import verdict


async def function() -> None: ...


def definition(**options: Any) -> TaskDefinition:
    defaults: dict[str, Any] = {"retries": 2, "retry_delay": 10.0, "retry_backoff": 3.0}
    return TaskDefinition(function=function, name="work", **{**defaults, **options})


@pytest.mark.parametrize(
    ("error", "attempt", "ending", "delay"),
    [
        (ValueError("no"), 1, Ending.RETRY, 10_000),
        (ValueError("no"), 2, Ending.RETRY, 30_000),
        (ValueError("no"), 3, Ending.FAILED, 0),
        (TimeoutError("no"), 1, Ending.RETRY, 10_000),
        (TimeoutError("no"), 3, Ending.FAILED, 0),
        (KeyError("never"), 1, Ending.FAILED, 0),
        (SystemExit(1), 1, Ending.RETRY, 10_000),
        (Retry(), 1, Ending.RETRY, 10_000),
        (Retry(0), 1, Ending.RETRY, 0),
        (Retry(2.5), 1, Ending.RETRY, 2_500),
        (Retry(2.5), 3, Ending.FAILED, 0),
        (Snooze(4), 1, Ending.SNOOZE, 4_000),
        (Snooze(4), 3, Ending.SNOOZE, 4_000),
        (Discard("why"), 1, Ending.CANCELLED, 0),
    ],
    ids=repr,
)
def test_what_a_raised_error_leads_to(
    error: BaseException, attempt: int, ending: Ending, delay: int
) -> None:
    job = a_job(attempt=attempt, delivery=7)
    outcome = verdict.raised(job, definition(no_retry_on=KeyError), error, 12)
    assert (outcome.ending, outcome.delay, outcome.duration) == (ending, delay, 12)
    assert (outcome.held.id, outcome.held.delivery) == (job.id, 7)
    if ending in (Ending.RETRY, Ending.FAILED):
        assert orjson.loads(outcome.error)["reason"] == "exception"
    else:
        assert outcome.reason


@pytest.mark.parametrize(
    ("kept", "attempt", "aside"), [(True, 1, True), (False, 3, False), (True, 3, True)]
)
def test_a_failure_says_whether_it_may_become_a_dead_letter(
    kept: bool, attempt: int, aside: bool
) -> None:
    job = a_job(attempt=attempt)
    outcome = verdict.raised(job, definition(dead_letter=kept), ValueError(), 0)
    assert outcome.dead_letter is aside
    assert not verdict.raised(job, definition(), ValueError(), 0).dead_letter


@pytest.mark.parametrize(
    ("reason", "attempt", "ending", "text"),
    [
        (CancelReason.USER, 1, Ending.CANCELLED, "said so"),
        (CancelReason.SHUTDOWN, 1, Ending.CANCELLED, "said so"),
        (CancelReason.DEADLINE, 1, Ending.EXPIRED, "the deadline passed while it ran"),
        (CancelReason.TIMEOUT, 1, Ending.RETRY, ""),
        (CancelReason.TIMEOUT, 3, Ending.FAILED, ""),
    ],
)
def test_what_a_cancellation_leads_to(
    reason: CancelReason, attempt: int, ending: Ending, text: str
) -> None:
    job = a_job(attempt=attempt)
    outcome = verdict.interrupted(job, definition(timeout=1.5), reason, "said so", 5)
    assert outcome is not None
    assert (outcome.ending, outcome.reason, outcome.duration) == (ending, text, 5)
    if reason is CancelReason.TIMEOUT:
        failure = orjson.loads(outcome.error)
        assert (failure["reason"], failure["type"]) == ("timeout", "upnext.TaskTimeoutError")
        assert "1.5s" in failure["message"]


def test_a_job_that_is_not_ours_any_more_is_not_settled() -> None:
    reason = CancelReason.LEASE_LOST
    assert verdict.interrupted(a_job(), definition(), reason, "", 0) is None


def test_a_result_is_kept_as_it_is() -> None:
    outcome = verdict.completed(a_job(), b"[1]", 3)
    assert (outcome.ending, outcome.result, outcome.duration) == (Ending.COMPLETE, b"[1]", 3)


def test_handed_back() -> None:
    outcome: Outcome = verdict.handed_back(a_job())
    assert (outcome.ending, outcome.delay) == (Ending.RELEASE, 0)
