"""Renew: keep the leases of held jobs; the twin of `renew.lua`."""

from __future__ import annotations

from collections.abc import Iterable

from upnext.model.job import Held, Revoked
from upnext.testing.memory_store.queue import Queue


def renew(queue: Queue, now: int, worker: str, held: Iterable[Held]) -> list[Revoked]:
    """Keep what is still the worker's; the answer names those not to be run on.

    A stalled worker's late beat cannot take a rescued job back: its fence does not fit any more.
    """
    revoked: list[Revoked] = []
    for claim in held:
        job = queue.jobs.get(claim.id)
        if job is None or not job.is_held(worker, claim.delivery):
            revoked.append(Revoked(claim.id, claim.delivery, True))
            continue
        job.renewed = now
        if job.cancel is not None:
            revoked.append(Revoked(claim.id, claim.delivery, False, job.cancel))
    return revoked
