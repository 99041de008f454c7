"""Retire: forget a worker that stops, and requeue what it owns; the twin of `retire.lua`."""

from __future__ import annotations

from upnext.model.job import Held
from upnext.model.outcome import Ending, Outcome, Settled
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.settle import settle


def retire(queue: Queue, now: int, worker: str, channel: str) -> int:
    """Forget a worker; the answer counts the jobs that are queued again."""
    queue.forget_hunger(channel)
    answers = [
        settle(
            queue,
            now,
            worker,
            Outcome(
                held=Held(job.function, job.id, job.delivery),
                ending=Ending.RELEASE,
                reason="worker stopped",
            ),
        )
        for job in queue.held(worker)
    ]
    return answers.count(Settled.APPLIED)
