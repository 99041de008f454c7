"""Enqueue: accept new jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.job import Enqueued, NewJob
from upnext.redis.library import Call
from upnext.store.bounds import Bounds

MOST_PER_CALL = 250
"""Jobs in one script call: the server serves nobody else while a script runs."""


def enqueue_calls(keys: Keys, bounds: Bounds, jobs: Sequence[NewJob]) -> list[Call]:
    """One call per run of jobs of the same function, in the order given."""
    calls: list[Call] = []
    start = 0
    while start < len(jobs):
        function, end = jobs[start].function, start + 1
        while end < len(jobs) and jobs[end].function == function and end - start < MOST_PER_CALL:
            end += 1
        arguments: list[Any] = [*bounds.of_submits, function]
        for job in jobs[start:end]:
            if job.is_plain:
                arguments += (job.id, job.arguments, "")
            else:
                arguments += (job.id, job.arguments, "more")
                arguments += _more(job)
        calls.append(Call("enqueue", (keys.function(function),), arguments))
        start = end
    return calls


def _more(job: NewJob) -> list[Any]:
    """What makes this more than a plain job."""
    words = _extras(job)
    return [
        job.priority or "",
        "" if job.delay is None else job.delay,
        "" if job.at is None else job.at,
        "" if job.deadline is None else job.deadline,
        "" if job.budget is None else job.budget,
        job.key,
        job.parent_id,
        "" if job.root_id == job.id else job.root_id,
        job.source,
        job.waiter,
        job.limit_keys,
        job.path,
        len(words),
        *words,
    ]


def _extras(job: NewJob) -> list[Any]:
    """Names and values of what few jobs have."""
    words: list[Any] = []
    if (dedupe := job.dedupe) is not None:
        words += ("dedupe", dedupe.mark, "window", dedupe.window)
        if dedupe.most is not None:
            words += ("most", dedupe.most)
    if (caching := job.caching) is not None:
        words += ("cache", f"{caching.ttl}:{caching.key}")
        if caching.fresh:
            words += ("fresh", 1)
    return words


def parse_enqueued(
    jobs: Sequence[NewJob], replies: Sequence[int | list[bytes]]
) -> list[Enqueued | JobRefusedError]:
    """One answer per job of all calls; a refusal is a value, for it concerns that job alone."""
    answers: list[Enqueued | JobRefusedError] = []
    for reply in replies:
        if isinstance(reply, int):  # so many, and all of them were created
            start = len(answers)
            answers += [Enqueued(job.id, True) for job in jobs[start : start + reply]]
            continue
        for i in range(0, len(reply), 2):
            verdict, job_id = reply[i], reply[i + 1].decode()
            if verdict == b"created":
                answers.append(Enqueued(job_id, True))
            elif verdict == b"existing":
                answers.append(Enqueued(job_id, False))
            elif verdict == b"full":
                answers.append(QueueFullError(job_id))
            else:
                answers.append(JobRefusedError(job_id, "the job tree it belongs to was cancelled"))
    return answers
