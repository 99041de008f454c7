"""Cancel: one job, or all that descends from a root."""

from __future__ import annotations

from enum import StrEnum

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


class CancelVerdict(StrEnum):
    """What a cancellation reached."""

    CANCELLED = "cancelled"
    """It waited; now it is over."""
    REQUESTED = "requested"
    """It runs; its worker was told to cancel it."""
    FINISHED = "finished"
    """Too late."""
    MISSING = "missing"
    """There is no such job."""


def cancel_call(keys: Keys, bounds: Bounds, job_id: str, reason: str) -> Call:
    """Cancel one job.

    Raises:
        ValueError: not a job id.
    """
    return _call(keys, bounds, keys.of_job(job_id), "job", job_id, reason)


def cancel_tree_call(keys: Keys, bounds: Bounds, function: str, root_id: str, reason: str) -> Call:
    """Cancel the unfinished jobs of one function below a root, and refuse new ones."""
    return _call(keys, bounds, keys.function(function), "tree", root_id, reason)


def _call(keys: Keys, bounds: Bounds, prefix: str, scope: str, target: str, reason: str) -> Call:
    return Call(
        "cancel",
        (prefix,),
        (scope, target, reason, keys.worker_channels, bounds.events_kept, bounds.record_ttl),
    )


def parse_cancelled(reply: bytes) -> CancelVerdict:
    return CancelVerdict(reply.decode())
