"""Follow: read what a job has said, and hear of what it says from now on."""

from __future__ import annotations

from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.report import Entry, Heard, Progress
from upnext.model.status import JobStatus
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def follow_call(keys: Keys, bounds: Bounds, job_id: str, what: str, after: str, most: int) -> Call:
    """Read up to `most` entries of a job's `log` or `out`put (or '': neither) after one of them.

    One that still waits after its deadline ends here.

    Raises:
        ValueError: not a job id.
    """
    return Call(
        "follow",
        (keys.of_job(job_id),),
        (job_id, what, after, most, bounds.events_kept, bounds.record_ttl),
    )


def parse_heard(reply: list[Any] | None) -> Heard | None:
    """What was found; None when there is no such job."""
    if reply is None:
        return None
    status, fraction, message, at, entries, left = reply
    progress = None
    if fraction:
        said = message.decode(errors="replace")
        progress = Progress(float(fraction), said, int(at))
    return Heard(
        JobStatus(status.decode()),
        progress,
        [_entry(entry, words) for entry, words in entries],
        int(left) if left else None,
    )


def _entry(entry_id: bytes, words: list[bytes]) -> Entry:
    return Entry(
        id=entry_id.decode(),
        attempt=int(words[1]),
        number=int(words[3]),
        at=int(words[5]),
        kind=words[6].decode(),
        payload=words[7],
    )
