"""Dead: read the dead letters of a function; the twin of `dead.lua`."""

from __future__ import annotations

from upnext.model.job import Letter, Letters
from upnext.testing.memory_store.queue import Queue


def dead_letters(
    queue: Queue,
    now: int,
    count: int,
    since: int | None,
    until: int | None,
    behind: tuple[int, str] | None,
) -> Letters:
    """A page, the latest first, behind the last one that was seen."""
    ttl = queue.bounds.dead_ttl
    found = [
        Letter(queue.jobs[job_id].as_record(), at)
        for at, job_id in sorted(((at, i) for i, at in queue.dead.items()), reverse=True)
        if (since is None or at >= since)
        and (until is None or at <= until)
        and (behind is None or (at, job_id) < behind)
        and (not ttl or at > now - ttl)
    ]
    return Letters(found[:count], len(found) > count, queue.dropped)
