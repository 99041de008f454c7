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
        jobs += [_job(function, row, now) for row in rows]
        if filled:
            more.append(function)
    return Claimed(jobs=jobs, now=now, more=more)


def _job(function: str, row: list[Any], now: int) -> Job:
    job_id = row[0].decode()
    if len(row) == 5:  # a plain job, as most are
        priority = deadline = rescues = 0
        parent = root = key = source = checkpoint = b""
    else:
        priority, deadline, parent, root, rescues, key, source, checkpoint = row[5:]
    return Job(
        id=job_id,
        function=function,
        arguments=row[1],
        attempt=int(row[2]),
        delivery=int(row[3]),
        priority=int(priority),
        created_at=int(row[4]),
        claimed_at=now,
        deadline=int(deadline) if deadline else None,
        parent_id=parent.decode(),
        root_id=root.decode() or job_id,
        rescues=int(rescues),
        key=key.decode(),
        source=source,
        checkpoint=checkpoint,
    )
