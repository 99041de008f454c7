"""Who waits for which job."""

from __future__ import annotations

from upnext.client.ended import Ended
from upnext.model.job import JobRecord
from upnext.redis.waiter import Waiter


class Wait(Waiter):
    """One caller that waits for the end of one job.

    Attributes:
        ended: How the job ended, once that is known. Woken without it, the caller may have missed
            a notice and has to look for itself.
        record: The job as its caller last saw it; a notice does not repeat what is in it.
    """

    __slots__ = ("ended", "record")

    def __init__(self) -> None:
        super().__init__()
        self.ended: Ended | None = None
        self.record: JobRecord | None = None


class Waits:
    """Owns the table of one client's waits. It is as large as there are callers who wait."""

    def __init__(self) -> None:
        self._by_job: dict[str, list[Wait]] = {}

    def add(self, job_id: str) -> Wait:
        """Somebody begins to wait."""
        wait = Wait()
        self._by_job.setdefault(job_id, []).append(wait)
        return wait

    def move(self, wait: Wait, job_id: str, to: str) -> None:
        """The job turned out to be another one."""
        self.drop(wait, job_id)
        self._by_job.setdefault(to, []).append(wait)

    def drop(self, wait: Wait, job_id: str) -> None:
        """This one does not wait any more."""
        waits = self._by_job.get(job_id)
        if waits is not None and wait in waits:
            waits.remove(wait)
            if not waits:
                del self._by_job[job_id]

    def end(self, payload: bytes) -> None:
        """A job ended: wake all who wait for it. The store's listener."""
        ended = Ended.of_notice(payload)
        for wait in self._by_job.pop(ended.id, ()):
            wait.ended = ended if wait.record is None else ended.of_job(wait.record)
            wait.wake()

    def doubt(self) -> None:
        """Notices may have been missed: everybody looks for himself. The store's listener."""
        for waits in self._by_job.values():
            for wait in waits:
                wait.wake()

    def __len__(self) -> int:
        return sum(len(waits) for waits in self._by_job.values())
