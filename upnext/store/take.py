"""Take: lend events to a router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.event import Taken, TakenEvent
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def take_call(
    keys: Keys,
    bounds: Bounds,
    worker: str,
    count: int,
    lease: int,
    version: str,
    *,
    own: bool,
    left: bool,
) -> Call:
    """Ask for up to `count` events; see `Store.take`."""
    channel = keys.worker_channel(worker)
    flags = (int(own), int(left))
    return Call(
        "take", (keys.events,), (worker, channel, count, lease, bounds.handler_ttl, version, *flags)
    )


def parse_taken(reply: list[Any]) -> Taken:
    filled, rows, version, roll = reply
    return Taken(
        events=[_event(*row) for row in rows],
        version=version.decode(),
        handlers=None if roll == 0 else parse_roll(roll),
        more=bool(filled),
    )


def parse_roll(reply: Mapping[bytes, bytes] | list[bytes]) -> dict[str, bytes]:
    """The roll of handlers from a script."""
    pairs = (
        reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    )
    return {name.decode(): record for name, record in pairs}


def _event(entry: bytes, fields: list[bytes], done: bytes) -> TakenEvent:
    raw = dict(zip(fields[::2], fields[1::2], strict=True))
    deadline = raw.get(b"deadline", b"")
    return TakenEvent(
        entry=entry.decode(),
        id=raw.get(b"id", b"").decode(errors="replace"),
        name=raw.get(b"name", b"").decode(errors="replace"),
        data=raw.get(b"data", b""),
        sent_at=int(entry.partition(b"-")[0]),
        parent_id=raw.get(b"parent", b"").decode(errors="replace"),
        root_id=raw.get(b"root", b"").decode(errors="replace"),
        deadline=int(deadline) if deadline.isdigit() and len(deadline) < 17 else None,
        done=frozenset(done.decode().split("\n")) if done else frozenset(),
    )
