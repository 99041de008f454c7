"""Pause: let no more jobs of a function be claimed."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def pause_call(keys: Keys, bounds: Bounds, function: str, until: int | None) -> Call:
    """Pause one function, until it is resumed or until a Unix time in milliseconds.

    The reply is that time; 0 when there is none.
    """
    arguments = ("" if until is None else until, bounds.events_kept)
    return Call("pause", (keys.function(function),), arguments)
