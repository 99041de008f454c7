"""Rescue: requeue jobs whose lease ran out."""

from __future__ import annotations

from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.job import Rescued
from upnext.redis.library import Call
from upnext.store.bounds import Bounds

MOST_PER_CALL = 200


def rescue_call(
    keys: Keys,
    bounds: Bounds,
    worker: str,
    function: str,
    lease: int,
    as_of: int,
    most: int | None = None,
) -> Call:
    """Take jobs from owners that did not renew for `lease` milliseconds, never from `worker`.

    A job that was lost `most` times is buried; None: as often as the bounds say.
    The script holds back when the server's clock is a sixth of a lease past `as_of` or more:
    half a renewal period.
    """
    return Call(
        "rescue",
        (keys.function(function),),
        (
            worker,
            lease,
            bounds.most_rescues if most is None else most,
            MOST_PER_CALL,
            bounds.events_kept,
            bounds.record_ttl,
            as_of,
            lease // 6,
            bounds.dead_ttl,
            bounds.dead_most,
        ),
    )


def parse_rescued(reply: list[Any]) -> Rescued:
    requeued, buried, held_back = reply
    return Rescued(_ids(requeued), _ids(buried), bool(held_back))


def _ids(raw: list[bytes]) -> list[str]:
    # An entry that somebody else wrote may name anything.
    return [job_id.decode(errors="replace") for job_id in raw]
