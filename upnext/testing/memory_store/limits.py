"""Limits: how a function is limited; the twin of `limits.lua`."""

from __future__ import annotations

import orjson

from upnext.model.limits import Limits
from upnext.testing.memory_store.queue import Queue


def limits(queue: Queue, definition: bytes) -> bool:
    """Have a function limited as its description says; whether that is a change."""
    ring, new = queue.ring, Limits.of(orjson.loads(definition))
    changed, ring.limits = ring.limits.fields != new.fields, new
    if changed:
        ring.restart()
        queue.rouse_all()
    return changed
