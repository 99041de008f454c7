"""Pick: claim certain jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.contracts.claimed import job_of
from upnext.contracts.keys import Keys
from upnext.model.job import Picked
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def pick_call(
    keys: Keys, bounds: Bounds, worker: str, function: str, count: int, ids: Sequence[str]
) -> Call:
    """Ask for up to `count` of these jobs of one function."""
    return Call(
        "pick",
        (keys.function(function),),
        (worker, count, bounds.events_kept, bounds.record_ttl, *ids),
    )


def parse_picked(function: str, reply: list[Any]) -> Picked:
    """What was taken, and what may be taken later."""
    now, looked, rows, later = reply
    return Picked(
        [job_of(function, row, now) for row in rows],
        now,
        looked,
        {job_id.decode(): int(ms) for job_id, ms in zip(later[::2], later[1::2], strict=True)},
    )
