"""Pause: let no more jobs of a function be claimed."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def pause_call(keys: Keys, bounds: Bounds, function: str, until: int | None) -> Call:
    """Pause one function, until it is resumed or until a Unix time in milliseconds.

    The reply is that time; 0 when there is none.
    """
    arguments = ("" if until is None else until, bounds.events_kept)
    return Call("pause", (keys.function(function),), arguments)


def pause_all_command(keys: Keys, until: int | None) -> tuple[str | int, ...]:
    """The command that has functions paused, too, which are declared meanwhile."""
    expiry = () if until is None else ("PXAT", max(1, until))
    return ("SET", keys.paused, until or 0, *expiry)


def parse_paused(names: Sequence[str], now: int, replies: Sequence[bytes | None]) -> dict[str, int]:
    """The paused ones of functions, by the field `paused` of their gates, and until when."""
    found = {
        name: int(until) for name, until in zip(names, replies, strict=True) if until is not None
    }
    return {name: until for name, until in found.items() if not until or until > now}
