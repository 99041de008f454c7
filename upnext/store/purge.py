"""Purge: delete dead letters."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.contracts.keys import Keys
from upnext.redis.library import Call

MOST_PER_CALL = 500


def purge_calls(keys: Keys, function: str, ids: Sequence[str]) -> list[Call]:
    """Delete letters of one function, with their records. A reply counts those there were."""
    return [
        Call("purge", (keys.function(function),), tuple(ids[i : i + MOST_PER_CALL]))
        for i in range(0, len(ids), MOST_PER_CALL)
    ]
