"""Claim: hand waiting jobs to a worker; the twin of `claim.lua`."""

from __future__ import annotations

from upnext.model.job import Job
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.ring import Opening
from upnext.testing.memory_store.taking import take_jobs

STAGGER = 20
"""Milliseconds between two workers that wait for the same moment."""


def claim(
    queue: Queue, now: int, worker: str, channel: str, want: int
) -> tuple[list[Job], bool, int | None]:
    """Take up to `want` jobs; True when more probably wait; ms until asking again is of use."""
    jobs, dry, gate = take_jobs(queue, now, worker, want)
    later = None
    if dry and gate is not None:
        later = _stand_by(queue, now, channel, gate)
    elif dry:
        queue.feel_hungry(channel, now)
    elif gate is not None:
        queue.leave_bar(channel)
        queue.rouse()
    else:
        queue.wake()  # a full share: more probably waits, and another worker may be free
    return jobs, not dry, later


def _stand_by(queue: Queue, now: int, channel: str, gate: Opening) -> int | None:
    rank = queue.stand_by(channel, now, barred=gate.barred)
    later, step, rate = gate.later, STAGGER, gate.limits.rate
    if gate.barred:
        if rate is not None and not gate.paused:
            step = min(step, -(-rate.window // rate.count))
    elif gate.limits.rate_per_key is not None:
        due = queue.ring.first_due()
        later = None if due is None else max(0, due - now)
    return None if later is None else later + step * rank
