"""Claim: hand waiting jobs to a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.contracts.claimed import job_of
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
        jobs += [job_of(function, row, now) for row in rows]
        if filled:
            more.append(function)
    return Claimed(jobs=jobs, now=now, more=more)
