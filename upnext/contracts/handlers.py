"""What the roll of handlers says of each, and what a handler's job says of its event."""

from __future__ import annotations

from typing import Any, cast

import orjson

from upnext.model.pattern import Pattern

EVENT = "event"


def encode_handler(pattern: str) -> bytes:
    """The record of a handler that listens to a pattern."""
    return orjson.dumps({"pattern": pattern})


def decode_handler(record: bytes) -> Pattern | None:
    """What a handler listens to; None when this is no record of ours."""
    try:
        return Pattern.parse(orjson.loads(record)["pattern"])
    except (ValueError, LookupError, TypeError):
        return None


def encode_source(event: str, event_id: str, pattern: str, handler: str) -> bytes:
    """The `source` of a job that an event made."""
    return orjson.dumps(
        {
            "type": EVENT,
            "event": event,
            "event_id": event_id,
            "event_pattern": pattern,
            "event_handler_name": handler,
        }
    )


def event_of(source: bytes) -> str | None:
    """The name of the event that made a job; None for any other job."""
    if not source:
        return None
    try:
        told: Any = orjson.loads(source)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    record = cast("dict[str, Any]", told)
    return record.get("event") if record.get("type") == EVENT else None
