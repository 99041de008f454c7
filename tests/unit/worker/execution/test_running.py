from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import anyio

from tests.support.claimed import a_job, an_outcome
from upnext.model.status import CancelReason
from upnext.worker.execution.running import Attempted, Running, RunningStatistics


class Scope(anyio.CancelScope):
    """Looks, when it is cancelled, at what is recorded by then."""

    def __new__(cls, *_: object, **__: object) -> Self:
        return object.__new__(cls)

    def __init__(self, look: Callable[[], object]) -> None:
        self.look = look
        self.seen: list[object] = []

    def cancel(self, reason: str | None = None) -> None:
        self.seen.append(self.look())


def test_the_reason_is_recorded_before_the_scope_is_cancelled() -> None:
    running, job = Running(), a_job()
    scope = Scope(lambda: attempted.reason)
    attempted = running.begin(job, scope)
    assert running.cancel(job.id, job.delivery, CancelReason.USER, "enough")
    assert scope.seen == [CancelReason.USER]
    assert attempted.message == "enough"


def test_the_first_reason_counts() -> None:
    running, job = Running(), a_job()
    attempted = running.begin(job, Scope(lambda: None))
    running.cancel(job.id, job.delivery, CancelReason.LEASE_LOST, "")
    running.cancel(job.id, job.delivery, CancelReason.USER, "enough")
    assert (attempted.reason, attempted.message) == (CancelReason.LEASE_LOST, "")


def test_only_that_very_delivery_is_cancelled() -> None:
    running, job = Running(), a_job(delivery=2)
    attempted = running.begin(job, Scope(lambda: None))
    assert not running.cancel(job.id, 1, CancelReason.USER, "")
    running.end(job)
    assert not running.cancel(job.id, 2, CancelReason.USER, "")
    assert attempted.reason is None


def test_what_it_tells() -> None:
    running, job, other = Running(), a_job("send"), a_job()
    running.begin(job, Scope(lambda: None))
    attempted = running.begin(other, Scope(lambda: None))
    running.cancel(job.id, 1, CancelReason.USER, "")
    attempted.outcome = an_outcome(other)
    assert running.jobs() == [job, other]
    assert running.names()[0] == f"send ({job.id})"
    assert running.outcomes() == [attempted.outcome]
    assert running.statistics() == RunningStatistics(2, 1)


class Interrupted(Attempted):
    """Looked at, it gives way to the event loop, which starts another job."""

    running: Running

    def __getattribute__(self, name: str) -> Any:
        if name == "job":
            self.running.begin(a_job(), self.scope)
        return super().__getattribute__(name)


def test_a_thread_can_ask_what_runs_while_jobs_start() -> None:
    running, jobs = Running(), [a_job("send"), a_job("send")]
    for job in jobs:
        attempted = Interrupted(job, Scope(lambda: None))
        attempted.running = running
        running._attempts[job.id, 1] = attempted  # pyright: ignore[reportPrivateUsage]
    assert running.names() == [f"send ({job.id})" for job in jobs]
    assert running.statistics().running == 4
