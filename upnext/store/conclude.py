"""Conclude: say what became of events that a router took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.event import Concluded
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def conclude_call(keys: Keys, bounds: Bounds, worker: str, concluded: Sequence[Concluded]) -> Call:
    """Write down the routing of events; the answer is read by `parse_concluded`."""
    arguments: list[Any] = [worker, bounds.unhandled_ttl, bounds.unhandled_kept]
    for one in concluded:
        arguments += (one.entry, one.id, one.routing.value, "\n".join(sorted(one.done)))
    return Call("conclude", (keys.events,), arguments)


def parse_concluded(reply: list[bytes]) -> list[bool]:
    """Per event, whether it was this router's to conclude."""
    return [word == b"applied" for word in reply]
