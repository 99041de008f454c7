"""Resume: let the jobs of a paused function be claimed again; the twin of `resume.lua`."""

from __future__ import annotations

from upnext.testing.memory_store.queue import Queue


def resume(queue: Queue, now: int) -> int:
    """End a pause; 1 when there was one, else 0."""
    till = queue.ring.paused
    if till is None:
        return 0
    queue.lift("its time was over" if 0 < till <= now else "resumed")
    queue.rouse_all()
    return 1
