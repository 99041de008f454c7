"""Living: which jobs below a job are not over."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.contracts.keys import Keys
from upnext.redis.library import Call
from upnext.store.cancel import MOST_PER_ROUND, Steps


def living_steps(
    keys: Keys, job_id: str, root_id: str, functions: Sequence[str]
) -> Steps[list[str]]:
    """List them, in these functions, a page of each at a time."""
    found: dict[str, None] = {}  # a page may repeat what another one had
    todo = [(name, b"0") for name in functions]
    while todo:
        now, todo = todo[:MOST_PER_ROUND], todo[MOST_PER_ROUND:]
        replies = yield [
            Call("living", (keys.function(name),), (root_id, job_id, cursor))
            for name, cursor in now
        ]
        for (name, _), (cursor, *ids) in zip(now, replies, strict=True):
            found.update(dict.fromkeys(job_id.decode() for job_id in ids))
            if cursor != b"0":
                todo.append((name, cursor))
    return sorted(found)
