"""Take: lend events to a router; the twin of `take.lua`."""

from __future__ import annotations

from upnext.model.event import Taken
from upnext.testing.memory_store.events import EventRecord, Events

MOST_TAKEN = 2 * 1024 * 1024
STRIDE = 10


def take(
    board: Events,
    now: int,
    worker: str,
    channel: str,
    count: int,
    lease: int,
    version: str,
    *,
    own: bool,
    left: bool,
) -> Taken:
    """Lend up to `count` events for `lease` milliseconds."""
    if count == 0:
        board.wake()
        return Taken(version=version)
    board.forget_handlers(now)
    taken: dict[int, EventRecord] = {}
    if own:
        mine = [one for one in board.sent.values() if one.owner == worker]
        taken |= {one.entry: one for one in mine[:count]}
    if left:
        for one in board.sent.values():
            one.taken_at = min(one.taken_at, now)  # the clock was set back: its lease begins anew
        stale = [
            one
            for one in board.sent.values()
            if one.owner and now - one.taken_at >= lease and one.entry not in taken
        ]
        taken |= {one.entry: one for one in stale[: count - len(taken)]}
    fresh = [one for one in board.sent.values() if not one.owner]
    dry = False
    while not dry and len(taken) < count and _weight(taken) < MOST_TAKEN:
        stride = min(STRIDE, count - len(taken))
        taken |= {one.entry: one for one in fresh[:stride]}
        dry = len(fresh) < stride
        del fresh[:stride]
    for one in taken.values():
        one.owner, one.taken_at = worker, now
    if dry:
        board.feel_hungry(channel, now)
    else:
        board.wake()
    present = str(board.version or "")
    return Taken(
        events=[one.as_taken() for one in taken.values()],
        version=present,
        handlers=None if present == version else dict(board.handlers),
        more=not dry,
    )


def _weight(taken: dict[int, EventRecord]) -> int:
    return sum(len(one.new.data) for one in taken.values())
