"""Send: store events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.errors import EventRefusedError
from upnext.model.event import NewEvent, Sent
from upnext.redis.library import Call
from upnext.store.bounds import Bounds

MOST_PER_CALL = 250


def send_calls(keys: Keys, bounds: Bounds, events: Sequence[NewEvent]) -> Iterator[Call]:
    """Calls that store events, in the order given."""
    for start in range(0, len(events), MOST_PER_CALL):
        arguments: list[Any] = [bounds.most_waiting, bounds.unhandled_ttl, bounds.record_ttl]
        for event in events[start : start + MOST_PER_CALL]:
            arguments += (
                event.id,
                event.name,
                event.data,
                event.key,
                event.parent_id,
                event.root_id,
                "" if event.deadline is None else event.deadline,
            )
        yield Call("send", (keys.events,), arguments)


def parse_sent(reply: list[bytes]) -> list[Sent | EventRefusedError]:
    """One answer per event; a refusal is a value here, for it concerns that event alone."""
    return [
        EventRefusedError(raw_id.decode())
        if verdict == b"full"
        else Sent(raw_id.decode(), verdict == b"created")
        for verdict, raw_id in zip(reply[::2], reply[1::2], strict=True)
    ]
