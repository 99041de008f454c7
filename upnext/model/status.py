"""The state machine of a job."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands. Terminal states are final; only a replay makes a new job of one."""

    SCHEDULED = "scheduled"
    """Waits for its time: delayed by the caller, snoozed, or between two attempts."""
    QUEUED = "queued"
    """Waits for a worker."""
    RUNNING = "running"
    """Claimed by a worker, which holds a lease on it."""
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Its deadline passed before it could finish."""
    CANCELLING = "cancelling"
    """It runs and is being cancelled, or its function is over and jobs below it are not. Shown to
    people, never stored: the stored status is RUNNING until the end."""

    # The names that earlier users know.
    PENDING = "scheduled"
    RETRYING = "scheduled"
    ACTIVE = "running"

    def is_terminal(self) -> bool:
        """Whether no script moves a job out of this state."""
        return self in TERMINAL

    def can_transition_to(self, target: JobStatus) -> bool:
        """Whether a job in this state may go to `target` in one step."""
        return target in TRANSITIONS[self]


TERMINAL = frozenset({JobStatus.COMPLETE, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED})

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.SCHEDULED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED, JobStatus.EXPIRED}),
    JobStatus.QUEUED: frozenset(
        {JobStatus.RUNNING, JobStatus.SCHEDULED, JobStatus.CANCELLED, JobStatus.EXPIRED}
    ),
    JobStatus.RUNNING: TERMINAL | {JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.CANCELLING},
    JobStatus.CANCELLING: TERMINAL,
    **{state: frozenset[JobStatus]() for state in TERMINAL},
}


class FailureReason(StrEnum):
    """Why a job did not complete."""

    TIMEOUT = "timeout"
    """An attempt ran longer than the task's timeout."""
    EXCEPTION = "exception"
    """The function raised."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """The deadline passed."""
    WORKER_LOST = "worker_lost"
    """The job was running when its worker died, too often to try again."""
    UNKNOWN = "unknown"


class CancelReason(StrEnum):
    """Why a running attempt's scope was cancelled; recorded before the scope is."""

    USER = "user"
    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"
