"""Resume: let the jobs of a paused function be claimed again."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def resume_call(keys: Keys, bounds: Bounds, function: str) -> Call:
    """End the pause of one function. The reply is 1 when there was one, else 0."""
    return Call("resume", (keys.function(function),), (bounds.events_kept,))
