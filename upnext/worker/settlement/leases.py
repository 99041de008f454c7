"""What this worker holds."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from attrs import frozen

from upnext.model.job import Held, Job


@frozen
class LeaseStatistics:
    """A snapshot."""

    held: int


class Leases:
    """Owns the table of held jobs: those in the inbox, running, and in the outbox.

    Written by the event loop, read by the renewal thread.
    """

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, int], Job] = {}
        self._lock = Lock()

    def add(self, jobs: Iterable[Job]) -> None:
        """These jobs were claimed."""
        with self._lock:
            for job in jobs:
                self._jobs[job.id, job.delivery] = job

    def remove(self, held: Iterable[Held]) -> None:
        """These jobs are settled."""
        with self._lock:
            for lease in held:
                self._jobs.pop((lease.id, lease.delivery), None)

    def strange(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of the jobs that are not held yet."""
        with self._lock:
            return [job for job in jobs if (job.id, job.delivery) not in self._jobs]

    def drop(self, job_id: str, delivery: int) -> None:
        """This delivery is another worker's now."""
        with self._lock:
            self._jobs.pop((job_id, delivery), None)

    def held(self) -> list[Held]:
        """All of them."""
        with self._lock:
            jobs = list(self._jobs.values())
        return [job.held for job in jobs]

    def ids(self) -> list[str]:
        """Their job ids."""
        with self._lock:
            return [job_id for job_id, _ in self._jobs]

    def statistics(self) -> LeaseStatistics:
        return LeaseStatistics(len(self._jobs))
