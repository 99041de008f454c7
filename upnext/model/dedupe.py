"""When a submit makes no job of its own: four kinds, and what a submit does to the job it meets.

Pure: no clock, no I/O. `store/lua/_prelude.lua` and `enqueue.lua` decide the same.

    key       idempotency     an unfinished job with this key is joined
    unique    for a period    a job accepted within the period is joined, over or not
    debounce  trailing        a job that waits for its window to end is replaced and put off
    rerun     run once more   a job that has not started is replaced; one that has is followed
"""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen

from upnext.model.status import JobStatus


class DedupeKind(StrEnum):
    """How submits with one key are told apart. The idempotency key is a field of its own."""

    UNIQUE = "unique"
    DEBOUNCE = "debounce"
    RERUN = "rerun"


@frozen
class Dedupe:
    """How one submit is deduplicated. Times are in milliseconds."""

    kind: DedupeKind
    key: str
    window: int = 0
    """The period for which a job is unique; how long a debounced job waits for quiet."""
    most: int | None = None
    """A debounced job waits no longer than this since the first submit."""

    @property
    def mark(self) -> str:
        """What names the mark in the store: the kind and the key."""
        return f"{self.kind.value}:{self.key}"


@frozen
class Caching:
    """Where the result of a job is kept for others."""

    key: str
    ttl: int
    """Milliseconds."""
    fresh: bool = False
    """Run even if a result is there, and keep the new one in its place."""


class Meeting(StrEnum):
    """What becomes of a submit that finds the mark of another job."""

    NEW = "new"
    """It makes a job of its own, which takes the mark over."""
    JOIN = "join"
    """It gets the other job as that is."""
    REPLACE = "replace"
    """It gets the other job, which runs with the new arguments."""
    FOLLOW = "follow"
    """It makes a job that starts when the other one is over."""


def meeting(kind: DedupeKind, status: JobStatus | None, delivery: int) -> Meeting:
    """What a submit does when the mark of its key names a job.

    Args:
        kind: How the submit is deduplicated.
        status: Where that job stands; None when its record is gone.
        delivery: How often that job was handed to a worker.
    """
    if kind is DedupeKind.UNIQUE:
        return Meeting.JOIN
    if kind is DedupeKind.DEBOUNCE:
        return Meeting.REPLACE if status is JobStatus.SCHEDULED else Meeting.NEW
    if status is None or status.is_terminal():
        return Meeting.NEW
    return Meeting.FOLLOW if delivery else Meeting.REPLACE


def gives_up(kind: DedupeKind, status: JobStatus) -> bool:
    """Whether a job that ends so gives up its mark.

    A period holds for a job that is complete: one that is not may be submitted again.
    """
    return kind is not DedupeKind.UNIQUE or status is not JobStatus.COMPLETE


def put_off(now: int, window: int, first: int, most: int | None) -> int:
    """When a debounced job is due after another submit.

    Args:
        now: The time of that submit.
        window: How long it is to be quiet.
        first: When the job was accepted.
        most: The longest time from then on; None: no limit.
    """
    due = now + window
    return due if most is None else min(due, first + most)
