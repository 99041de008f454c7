"""Survey: look at what is held of events; the twin of `survey.lua`."""

from __future__ import annotations

from upnext.model.event import EventsView
from upnext.testing.memory_store.events import Events


def survey(board: Events, now: int, most: int) -> EventsView:
    """Look, without changing anything."""
    limit = now - board.bounds.unhandled_ttl
    first = next(iter(board.sent.values()), None)
    kept = [event for at, event in board.unhandled if at >= limit]
    return EventsView(
        waiting=len(board.sent),
        oldest=None if first is None else first.sent_at,
        handlers=dict(board.handlers),
        unhandled=kept[::-1][:most],
    )
