"""Permit: let a worker hold so many jobs of a group."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.redis.library import Call


def permit_call(
    keys: Keys, group: str, worker: str, holding: int, wanting: int, ttl: int, most: int | None
) -> Call:
    """Keep `holding` permits for `ttl` milliseconds and ask for `wanting` more.

    0 asks for none and leaves the line; -1 renews what the worker has; -2 gives back. The reply is
    how many it has then; -1 when the group has no limit.
    """
    words = (worker, keys.worker_channel(worker), holding, wanting, ttl)
    return Call("permit", (keys.group(group),), (*words, "" if most is None else most))
