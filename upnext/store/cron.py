"""Cron: make the jobs of a schedule that are due."""

from __future__ import annotations

from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.schedule import Fired, Firing, FiringVerdict
from upnext.redis.library import Call
from upnext.store.bounds import Bounds
from upnext.store.schedule import parse_schedule


def cron_call(keys: Keys, bounds: Bounds, firing: Firing) -> Call:
    """Make the jobs of a firing, unless another scheduler was faster."""
    arguments: list[Any] = [
        firing.schedule,
        firing.revision,
        firing.expected,
        firing.following,
        bounds.events_kept,
        bounds.most_waiting,
        firing.function,
    ]
    for one in firing.occurrences:
        arguments += (one.id, one.instant, one.due, one.source)
    return Call("cron", (keys.function(firing.function),), arguments)


def parse_fired(firing: Firing, reply: list[Any]) -> Fired:
    """What became of it."""
    verdict, now, made, row = reply
    schedule = parse_schedule(firing.function, firing.schedule, row) if row else None
    return Fired(FiringVerdict(verdict.decode()), now, made, schedule)
