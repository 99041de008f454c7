"""Recover: tell a worker again what it owns."""

from __future__ import annotations

from collections.abc import Iterable

from upnext.contracts.keys import Keys
from upnext.redis.library import Call


def recover_call(keys: Keys, worker: str, function: str, known: Iterable[str]) -> Call:
    """Ask for the jobs of a function that this worker owns, besides those it knows of.

    The reply has the shape of a claim's.
    """
    return Call("recover", (keys.function(function),), (worker, *known))
