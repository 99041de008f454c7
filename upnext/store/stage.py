"""Stage: move due jobs from the schedule to their lanes."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.model.job import Staged
from upnext.redis.library import Call
from upnext.store.bounds import Bounds

MOST_PER_CALL = 500


def stage_call(keys: Keys, bounds: Bounds, function: str) -> Call:
    """Move what is due and end what is late, up to `MOST_PER_CALL` jobs of each."""
    return Call(
        "stage",
        (keys.function(function),),
        (MOST_PER_CALL, bounds.events_kept, bounds.record_ttl),
    )


def parse_staged(function: str, reply: list[int]) -> Staged:
    """What was moved, and when to come again."""
    moved, next_due = reply
    return Staged(function, moved, None if next_due < 0 else next_due)
