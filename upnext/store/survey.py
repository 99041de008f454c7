"""Survey: look at what is held of events."""

from __future__ import annotations

from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.event import EventsView, StoredEvent
from upnext.redis.library import Call
from upnext.store.bounds import Bounds
from upnext.store.take import parse_roll


def survey_call(keys: Keys, bounds: Bounds, most: int) -> Call:
    """Look, without changing anything; at most so many events that nobody handles are shown."""
    return Call("survey", (keys.events,), (bounds.unhandled_ttl, most))


def parse_view(reply: list[Any]) -> EventsView:
    waiting, first, roll, unhandled = reply
    return EventsView(
        waiting=waiting,
        oldest=int(first.partition(b"-")[0]) if first else None,
        handlers=parse_roll(roll),
        unhandled=[_event(fields) for _, fields in unhandled],
    )


def _event(fields: list[bytes]) -> StoredEvent:
    raw = dict(zip(fields[::2], fields[1::2], strict=True))
    return StoredEvent(
        id=raw.get(b"id", b"").decode(errors="replace"),
        name=raw.get(b"name", b"").decode(errors="replace"),
        data=raw.get(b"data", b""),
        sent_at=int(raw.get(b"at", b"0")),
        parent_id=raw.get(b"parent", b"").decode(errors="replace"),
    )
