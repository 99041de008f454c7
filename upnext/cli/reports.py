"""What a job said of itself, for people."""

from __future__ import annotations

from upnext.model.job import JobRecord


def started_of(record: JobRecord) -> int | None:
    """When the job's present or last attempt started, as far as it is known: while it runs, a job
    that says nothing is only known to be claimed."""
    started, claimed = record.started_at, record.claimed_at
    if record.status.is_terminal():
        return started
    return started if started and claimed and started >= claimed else None


def progress_of(record: JobRecord) -> str | None:
    """How far a job is, in words."""
    if record.progress is None:
        return None
    shown = f"{record.progress * 100:.4g} %"
    return f"{shown}, {record.progress_message}" if record.progress_message else shown
