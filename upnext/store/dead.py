"""Dead: read the jobs that failed for good and are kept aside."""

from __future__ import annotations

from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.job import Letter, Letters
from upnext.redis.library import Call
from upnext.store.bounds import Bounds
from upnext.store.lookup import parse_record

MOST_PER_CALL = 100
"""Letters in one reply: each carries all of its job's data."""


def dead_call(
    keys: Keys,
    bounds: Bounds,
    function: str,
    *,
    count: int = MOST_PER_CALL,
    since: int | None = None,
    until: int | None = None,
    behind: tuple[int, str] | None = None,
) -> Call:
    """Ask for a page, the latest first.

    Args:
        keys: The workspace.
        bounds: How long letters live.
        function: Whose.
        count: Most of them.
        since: Not older than this, Unix milliseconds.
        until: Not younger than this, Unix milliseconds.
        behind: The time and the id of the last one that was seen.
    """
    at, last = ("", "") if behind is None else behind
    bare = ("" if since is None else since, "" if until is None else until)
    words = (*bare, at, last, min(count, MOST_PER_CALL), bounds.dead_ttl)
    return Call("dead", (keys.function(function),), words)


def parse_dead(reply: list[Any]) -> Letters:
    """The letters of a page."""
    more, dropped, *rows = reply
    letters: list[Letter] = []
    for raw_id, at, fields in rows:
        record = parse_record(raw_id.decode(), fields)
        if record is not None:
            letters.append(Letter(record, at))
    return Letters(letters, bool(more), dropped)
