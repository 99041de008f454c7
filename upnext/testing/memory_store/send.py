"""Send: store events; the twin of `send.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.errors import EventRefusedError
from upnext.model.event import NewEvent, Sent
from upnext.testing.memory_store.events import Events


def send(board: Events, now: int, events: Sequence[NewEvent]) -> list[Sent | EventRefusedError]:
    """Store events; one answer each, in order."""
    before = len(board.seen)
    answers = [_send_one(board, now, event) for event in events]
    if len(board.seen) > before:
        if not board.handlers:
            limit = now - board.bounds.unhandled_ttl
            board.sent = {e: one for e, one in board.sent.items() if one.sent_at >= limit}
        board.wake()
    return answers


def _send_one(board: Events, now: int, event: NewEvent) -> Sent | EventRefusedError:
    # An event may be sent twice when a reply was lost; the id makes the second one a no-op.
    if event.id in board.seen:
        return Sent(event.id, True)
    key = (event.name, event.key)
    if event.key and key in board.holders:
        return Sent(board.holders[key][0], False)
    most = board.bounds.most_waiting
    if most and len(board.sent) >= most:
        return EventRefusedError(event.id)
    board.store(event, now)
    if event.key:
        board.holders[key] = (event.id, now + board.bounds.record_ttl)
    return Sent(event.id, True)
