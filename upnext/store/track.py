"""Track: write down what an API served."""

from __future__ import annotations

from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.traffic import MOST_ENDPOINTS, OTHERS, Period, TrafficBatch
from upnext.redis.library import Call


def track_call(
    keys: Keys, api: str, writer: str, batch: TrafficBatch, most: int = MOST_ENDPOINTS
) -> Call:
    """Add a batch. A repeated one, by its sequence, changes nothing."""
    words: list[Any] = [
        writer,
        batch.sequence,
        most,
        OTHERS,
        Period.MINUTE.kept,
        Period.HOUR.kept,
        batch.kept,
        len(batch.rows),
    ]
    for row in batch.rows:
        pairs = list(row.tally.pairs())
        words += (row.age, _encodable(row.endpoint), len(pairs))
        for pair in pairs:
            words += pair
    for age, one in batch.requests:
        micros = int(one.seconds * 1e6)
        path = _encodable(one.path)
        words += (age, one.method, path, one.status, micros, int(one.sampled))
    return Call("track", (keys.api(api),), words)


def _encodable(path: str) -> bytes:
    """Clients choose paths, and servers may hand over what is no UTF-8 as lone surrogates."""
    return path.encode(errors="replace")
