"""Watch: read a job, and be told when it ends."""

from __future__ import annotations

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.bounds import Bounds


def watch_call(keys: Keys, bounds: Bounds, job_id: str, channel: str) -> Call:
    """Read the record; unless the job is over, `channel` gets a notice when it is.

    One that still waits after its deadline ends here. The reply is a record as in a look-up.

    Raises:
        ValueError: not a job id.
    """
    return Call(
        "watch",
        (keys.of_job(job_id),),
        (job_id, channel, bounds.events_kept, bounds.record_ttl),
    )
