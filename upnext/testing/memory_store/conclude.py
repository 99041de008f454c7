"""Conclude: say what became of events; the twin of `conclude.lua`."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.model.event import Concluded, Routing
from upnext.testing.memory_store.events import Events


def conclude(board: Events, now: int, worker: str, concluded: Sequence[Concluded]) -> list[bool]:
    """End the routing of events that are still this worker's; whether each was."""
    return [_conclude_one(board, now, worker, one) for one in concluded]


def _conclude_one(board: Events, now: int, worker: str, one: Concluded) -> bool:
    event = board.sent.get(int(one.entry))
    if event is None or event.owner != worker:
        return False
    if one.routing is Routing.PARTIAL:
        event.done = one.done
        return True
    del board.sent[event.entry]
    if one.routing is Routing.UNHANDLED:
        board.unhandled.append((now, event.as_stored()))
        del board.unhandled[: -board.bounds.unhandled_kept]
    return True
