"""Pause: let no more jobs of a function be claimed; the twin of `pause.lua`."""

from __future__ import annotations

from upnext.testing.memory_store.queue import Queue


def pause(queue: Queue, until: int | None) -> int:
    """Pause a function until a time, or until it is resumed; the answer is that time, or 0."""
    till = until or 0
    queue.ring.paused = till
    queue.emit_own("paused", due=till or "")
    queue.rouse_all()
    queue.publish(f"{queue.prefix}due", b"pause")
    return till
