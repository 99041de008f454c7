"""When a caller that waits for a job looks for itself: nobody else may end a job that is late."""

from __future__ import annotations

import time

from upnext.model.job import JobRecord, NewJob
from upnext.model.report import Heard
from upnext.model.status import JobStatus

FIRST_LOOK = 15.0
"""Seconds: this process's clock may be wrong, so it is not trusted for longer."""
SOONEST = 0.05
RUNNING = 5.0
"""Seconds between two looks at a late job that runs: its worker ends it."""


def first_look(job: NewJob) -> float | None:
    """Seconds until the deadline of a job that is submitted now, about; None: it has none."""
    if job.budget is None and job.deadline is None:
        return None
    left = FIRST_LOOK
    if job.budget is not None:
        left = min(left, job.budget / 1000)
    if job.deadline is not None:
        left = min(left, job.deadline / 1000 - time.time())
    return max(left, SOONEST)


def next_look(seen: JobRecord | Heard) -> float | None:
    """Seconds until the deadline of a job as the store told it just now; None: it has none."""
    if seen.time_left is None:
        return None
    least = RUNNING if seen.status is JobStatus.RUNNING else SOONEST
    return max(seen.time_left / 1000, least)
