"""Enlist: put handlers on the roll, and take others off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def enlist_call(
    keys: Keys,
    bounds: Bounds,
    handlers: Mapping[str, bytes],
    *,
    starts: bool = False,
    off: Sequence[str] = (),
) -> Call:
    """Say which handlers a worker runs; see `Store.enlist`. The reply counts those taken off."""
    pairs = [word for pair in handlers.items() for word in pair]
    return Call(
        "enlist",
        (keys.events,),
        (bounds.handler_ttl, int(starts), len(handlers), *pairs, *off),
    )
