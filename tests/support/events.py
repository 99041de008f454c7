"""Event streams, read raw: redis-py would make one dict of an entry that holds many events."""

from __future__ import annotations

from typing import Any

import redis

from upnext.contracts.events import split_entry


def read_events(
    client: redis.Redis, prefix: str, after: str = "-"
) -> list[tuple[bytes, list[dict[bytes, bytes]]]]:
    """The entries of a function's stream: id, and the fields of each event in it."""
    script = "return redis.call('XRANGE', KEYS[1], ARGV[1], '+')"
    entries: Any = client.eval(script, 1, prefix + "events", after)
    return [
        (_bytes(entry), split_entry([_bytes(f) for f in fields])[1]) for entry, fields in entries
    ]


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
