"""Who waits for which job."""

from __future__ import annotations

from typing import Protocol

from upnext.client.ended import Ended
from upnext.model.job import JobRecord
from upnext.redis.waiter import Waiter


class Hearer(Protocol):
    """Somebody who waits for the ends of jobs."""

    def hear(self, ended: Ended) -> None:
        """A job ended."""
        ...

    def doubt(self) -> None:
        """Notices may have been missed."""
        ...


class Wait(Waiter):
    """One caller that waits for the end of one job.

    Attributes:
        ended: How the job ended, once that is known. Woken without it, the caller may have missed
            a notice and has to look for itself.
        record: The job as its caller last saw it; a notice does not repeat what is in it.
        look_in: Seconds after which the caller looks for itself, because the job's deadline will
            have passed and perhaps nobody else ends it; None: there is no deadline.
    """

    __slots__ = ("ended", "look_in", "record")

    def __init__(self) -> None:
        super().__init__()
        self.ended: Ended | None = None
        self.record: JobRecord | None = None
        self.look_in: float | None = None

    def hear(self, ended: Ended) -> None:
        """The job ended."""
        self.ended = ended if self.record is None else ended.of_job(self.record)
        self.wake()

    def doubt(self) -> None:
        """Its notice may have been missed."""
        self.wake()


class Waits:
    """Owns the table of one client's waits. It is as large as there are jobs waited for."""

    def __init__(self) -> None:
        self._by_job: dict[str, list[Hearer]] = {}

    def add(self, job_id: str) -> Wait:
        """Somebody begins to wait."""
        wait = Wait()
        self.join(wait, job_id)
        return wait

    def join(self, hearer: Hearer, job_id: str) -> None:
        """Somebody waits for this job, too."""
        self._by_job.setdefault(job_id, []).append(hearer)

    def move(self, wait: Hearer, job_id: str, to: str) -> None:
        """The job turned out to be another one."""
        self.drop(wait, job_id)
        self.join(wait, to)

    def drop(self, wait: Hearer, job_id: str) -> None:
        """This one does not wait any more."""
        waits = self._by_job.get(job_id)
        if waits is not None and wait in waits:
            waits.remove(wait)
            if not waits:
                del self._by_job[job_id]

    def end(self, payload: bytes) -> None:
        """A job ended: wake all who wait for it. The store's listener."""
        self.tell(Ended.of_notice(payload))

    def tell(self, ended: Ended) -> None:
        """A job ended: wake all who wait for it."""
        for wait in self._by_job.pop(ended.id, ()):
            wait.hear(ended)

    def doubt(self) -> None:
        """Notices may have been missed: everybody looks for himself. The store's listener."""
        for wait in {id(wait): wait for waits in self._by_job.values() for wait in waits}.values():
            wait.doubt()

    def __len__(self) -> int:
        return sum(len(waits) for waits in self._by_job.values())
