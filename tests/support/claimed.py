"""Claimed jobs and outcomes that no store ever saw."""

from __future__ import annotations

from itertools import count
from typing import Any

from upnext.model.job import Held, Job
from upnext.model.outcome import Ending, Outcome

_numbers = count(1)


def a_job(function: str = "work", **fields: Any) -> Job:
    """A claimed job."""
    values: dict[str, Any] = {
        "id": f"{function}-{next(_numbers):032x}",
        "function": function,
        "arguments": b"{}",
        "attempt": 1,
        "delivery": 1,
        "priority": 0,
        "created_at": 0,
        "claimed_at": 0,
        "deadline": None,
        "parent_id": "",
        "root_id": "",
        "rescues": 0,
        "key": "",
        "source": b"",
    }
    return Job(**{**values, **fields})


def held(job: Job) -> Held:
    return Held(job.function, job.id, job.delivery)


def an_outcome(job: Job | None = None, ending: Ending = Ending.COMPLETE, **fields: Any) -> Outcome:
    """How an attempt at a job ended."""
    return Outcome(held=held(job or a_job()), ending=ending, **fields)
