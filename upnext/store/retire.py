"""Retire: forget a worker that stops."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.redis.library import Call


def retire_call(keys: Keys, worker: str, function: str) -> Call:
    """Forget the worker in one function. The reply is the number of jobs it still holds."""
    return Call("retire", (keys.function(function),), (worker, keys.worker_channel(worker)))


def retire_events_call(keys: Keys, worker: str) -> Call:
    """Forget the worker's router; its lease on events runs out if it holds any."""
    return Call("retire", (keys.events,), (worker, keys.worker_channel(worker)))
