"""Claim: hand waiting jobs to a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.job import Claimed, Job
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def claim_call(keys: Keys, bounds: Bounds, worker: str, function: str, count: int) -> Call:
    """Ask for up to `count` jobs of one function."""
    return Call(
        "claim",
        (keys.function(function),),
        (worker, keys.worker_channel(worker), count, bounds.events_kept, bounds.record_ttl),
    )


def parse_claimed(functions: Sequence[str], replies: Sequence[list[Any]]) -> Claimed:
    """Join the replies of several functions, asked in this order."""
    jobs: list[Job] = []
    more: list[str] = []
    now = 0
    for function, (now, filled, rows) in zip(functions, replies, strict=True):
        jobs.extend(_job(row, now) for row in rows)
        if filled:
            more.append(function)
    return Claimed(jobs=jobs, now=now, more=more)


def _job(row: list[Any], now: int) -> Job:
    (job_id, name, arguments, attempt, delivery, priority, created, deadline, *rest) = row
    parent, root, rescues, key, source = rest
    return Job(
        id=job_id.decode(),
        function=name.decode(),
        arguments=arguments,
        attempt=int(attempt),
        delivery=int(delivery),
        priority=int(priority),
        created_at=int(created),
        claimed_at=now,
        deadline=int(deadline) if deadline else None,
        parent_id=parent.decode(),
        root_id=root.decode(),
        rescues=int(rescues),
        key=key.decode(),
        source=source,
    )
