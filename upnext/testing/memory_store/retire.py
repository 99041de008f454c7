"""Retire: forget a worker that stops; the twin of `retire.lua`."""

from __future__ import annotations

from upnext.testing.memory_store.queue import Queue


def retire(queue: Queue, worker: str, channel: str) -> int:
    """Forget a worker; the answer counts the jobs it leaves to be rescued."""
    queue.forget_hunger(channel)
    return len(queue.held(worker))
