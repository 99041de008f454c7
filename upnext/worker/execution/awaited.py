"""The jobs that running jobs wait for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator


class Awaited:
    """Owns the ids of the jobs that this worker's jobs wait for. Touched from the event loop only.

    Some may be over, or another queue's.
    """

    def __init__(self) -> None:
        self._waits: dict[str, int] = {}  # in the order in which the waiting began
        self._on_wait: Callable[[str], None] = lambda job_id: None

    def connect(self, on_wait: Callable[[str], None]) -> None:
        """Who is told that a job is waited for."""
        self._on_wait = on_wait

    def add(self, jobs: Collection[str]) -> None:
        """Somebody begins to wait for these."""
        for job_id in jobs:
            self._waits[job_id] = self._waits.get(job_id, 0) + 1
            self._on_wait(job_id)

    def remove(self, jobs: Collection[str]) -> None:
        """He does not wait any more."""
        for job_id in jobs:
            if self._waits[job_id] == 1:
                del self._waits[job_id]
            else:
                self._waits[job_id] -= 1

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._waits

    def __iter__(self) -> Iterator[str]:
        return iter(self._waits)
