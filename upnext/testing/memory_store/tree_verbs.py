"""The verbs of whole trees, as a memory store has them."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.contracts.keys import Keys
from upnext.model.job import Picked
from upnext.model.lineage import Member
from upnext.store.cancel import CancelledTree
from upnext.testing.memory_store.cancel import cancel_below, cancel_head, unwind
from upnext.testing.memory_store.living import living
from upnext.testing.memory_store.pick import pick
from upnext.testing.memory_store.queue import Queue


class TreeVerbs:
    """The part of a memory store that looks below jobs. Every verb is a checkpoint first."""

    keys: Keys
    _definitions: dict[str, bytes]
    _families: set[str]

    async def _now(self) -> int:
        raise NotImplementedError

    def _function(self, name: str, now: int) -> Queue:
        raise NotImplementedError

    def _queue(self, prefix: str, now: int) -> Queue:
        raise NotImplementedError

    async def cancel_trees(self, job_ids: Sequence[str], reason: str) -> list[CancelledTree]:
        """Cancel jobs and every unfinished job below them, and refuse new ones there.

        Raises:
            ValueError: not a job id.
        """
        now, channels = await self._now(), self.keys.worker_channels
        prefixes = [self.keys.of_job(job_id) for job_id in job_ids]
        heads = [
            cancel_head(self._queue(prefix, now), now, job_id, reason, channels)
            for job_id, prefix in zip(job_ids, prefixes, strict=True)
        ]
        queues = self._with_families(now)
        cancelled = [
            CancelledTree(
                head.verdict,
                sum(cancel_below(queue, now, head, reason, channels) for queue in queues)
                if head.ran
                else 0,
            )
            for head in heads
        ]
        for queue in (*(self._queue(prefix, now) for prefix in prefixes), *queues):
            queue.give_room()
        return cancelled

    async def unwind(self, member: Member, reason: str, channel: str) -> list[str]:
        """The jobs below a cancelled one that run on; `channel` is told when they end."""
        now, channels = await self._now(), self.keys.worker_channels
        own = self._queue(self.keys.of_job(member.id), now)
        live: list[str] = []
        for queue in (own, *(queue for queue in self._with_families(now) if queue is not own)):
            found = unwind(queue, now, member, queue is own, reason, channels, channel)
            queue.give_room()
            if found is None:
                return []
            live += found
        return sorted(live)

    async def pick(self, worker: str, function: str, count: int, ids: Sequence[str]) -> Picked:
        """Claim up to `count` of certain jobs of a function, wherever they stand in line."""
        now = await self._now()
        queue = self._function(function, now)
        picked = pick(queue, now, worker, count, ids)
        queue.give_room()
        return picked

    async def living(self, job_id: str) -> list[str]:
        """The ids of the unfinished jobs below a job.

        Raises:
            ValueError: not a job id.
        """
        now = await self._now()
        job = self._queue(self.keys.of_job(job_id), now).jobs.get(job_id)
        root_id = job_id if job is None else job.root or job_id
        queues = self._with_families(now)
        return sorted(found for queue in queues for found in living(queue, root_id, job_id))

    def _with_families(self, now: int) -> list[Queue]:
        """The queues of functions that may have jobs below other jobs."""
        names = sorted({*self._definitions, *self._families})
        return [self._function(name, now) for name in names]
