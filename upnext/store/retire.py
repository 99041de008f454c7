"""Retire: forget a worker that stops, and requeue what it still owns."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def retire_call(keys: Keys, bounds: Bounds, worker: str, function: str) -> Call:
    """Forget the worker in one function. The reply is the number of jobs requeued."""
    return Call(
        "retire",
        (keys.function(function),),
        (worker, keys.worker_channel(worker), bounds.events_kept, bounds.record_ttl),
    )


def retire_events_call(keys: Keys, bounds: Bounds, worker: str) -> Call:
    """Forget the worker's router; its lease on events runs out if it holds any."""
    return Call(
        "retire",
        (keys.events,),
        (worker, keys.worker_channel(worker), bounds.events_kept, bounds.record_ttl),
    )
