"""A queue that accepts jobs and runs none: for tests of what is submitted."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from upnext.client.connect import stand_in
from upnext.client.declarations import TaskDeclarations
from upnext.client.ports import Origin
from upnext.errors import JobRefusedError
from upnext.model.job import Enqueued, NewJob
from upnext.redis.waiter import Waiter
from upnext.store.cancel import CancelledTree, CancelVerdict
from upnext.testing.jobs import Jobs
from upnext.testing.kept import AtOnce, KeptStore

__all__ = ["fake_queue"]


class Shelf(KeptStore):
    """A kept store that belongs to no event loop: its verbs do not wait, and threads may share it.

    Nobody runs its jobs, so nobody may wait for one.
    """

    def __init__(self) -> None:
        super().__init__(clock=_wall_clock)
        self._waits = False

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept new jobs; one answer each, in order."""
        return self.at_once(super().enqueue(jobs))

    async def cancel(self, job_id: str, reason: str) -> CancelVerdict:
        """Cancel one job."""
        return self.at_once(super().cancel(job_id, reason))

    async def cancel_trees(self, job_ids: Sequence[str], reason: str) -> list[CancelledTree]:
        """Cancel jobs and every unfinished job below them."""
        return self.at_once(super().cancel_trees(job_ids, reason))

    async def attend(self, waiter: Waiter) -> None:
        """Refuse to wait.

        Raises:
            RuntimeError: what is waited for will not happen.
        """
        if not waiter.done:
            raise RuntimeError(
                "nothing runs the job that is waited for: fake_queue() only keeps jobs, and"
                " inline() leaves those that put themselves off. Use run_worker() to wait"
            )


@contextmanager
def fake_queue() -> Generator[Jobs]:
    """Keep whatever is submitted inside the block, in any thread or event loop, and run nothing.

    For tests of code that submits, with or without an event loop. Idempotency keys, delays and
    cancelling work as on a real queue. Blocks nest: the innermost one counts.

    Yields:
        What was submitted: assert about it.
    """
    store = Shelf()
    jobs = Jobs(store)
    with stand_in(store, AtOnce(store), introducer(jobs)):
        yield jobs


Meet = Callable[[Origin], None]


def introducer(jobs: Jobs) -> Meet:
    """Lets the definitions of a worker be known once one of its tasks is submitted."""

    def meet(origin: Origin) -> None:
        if isinstance(origin, TaskDeclarations):
            for definition in origin.registry:
                jobs.definitions[definition.name] = definition

    return meet


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000
