"""Waits until nothing below a cancelled job runs any more."""

from __future__ import annotations

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.client.ended import Ended
from upnext.client.ends import Ends
from upnext.client.waits import Waits
from upnext.errors import JobNotFoundError
from upnext.model.job import Job
from upnext.model.lineage import Member
from upnext.worker.log import logger
from upnext.worker.ports import Subscription, UnwindPort

LOOK_AGAIN = 5.0
"""Seconds after which it asks again who holds on, in case a message was lost."""
RETRY_INTERVAL = 0.5
"""Seconds until it asks again an unreachable server."""


@define(eq=False)
class Unwinding:
    """Owns a worker's ear for the ends of jobs below its cancelled ones.

    A job is over when those below it are: its worker keeps it until then, without a slot. It
    passes the cancellation on itself, too, so that it arrives even if whoever asked for it is gone
    half way, and so that nothing can be submitted below it any more. Nothing here is set up, and
    nothing is asked, before the first such job.
    """

    store: UnwindPort
    channel: str
    _waits: Waits = field(factory=Waits, init=False)
    _ear: Subscription | None = field(default=None, init=False)
    _users: int = field(default=0, init=False)
    _asking: int = field(default=0, init=False)
    _lately: set[str] = field(factory=set[str], init=False)
    """Jobs that ended while questions were under way: a push may overtake the answer."""

    async def below(self, job: Job, reason: str) -> None:
        """Return when the jobs below a cancelled one are over.

        At once when the job was cancelled without those below it.
        """
        if self._ear is None:
            self._ear = self.store.subscribe(self.channel, self._hear, self._waits.doubt)
        self._users += 1
        try:
            while (live := await self._ask(job, reason)) is not None:
                await self._wait(job, live)
        finally:
            self._users -= 1
            if not self._users:
                self._ear.close()
                self._ear = None

    async def _ask(self, job: Job, reason: str) -> Ends | None:
        """What runs on; it is listened to already. None: nothing does."""
        member = Member(job.id, job.root_id, job.path)
        self._asking += 1
        try:
            if not (live := await self._unwind(member, reason)):
                return None
            ends = Ends(self.store, self.channel, self._waits)
            for job_id in live:
                if job_id not in self._lately:
                    ends.expect(job_id)
            return ends
        finally:
            self._asking -= 1
            if not self._asking:
                self._lately.clear()

    async def _unwind(self, member: Member, reason: str) -> list[str]:
        while True:
            try:
                return await self.store.unwind(member, reason, self.channel)
            except RedisError as error:
                logger.warning("cannot ask for the jobs below %s: %s", member.id, error)
                await anyio.sleep(RETRY_INTERVAL)

    async def _wait(self, job: Job, ends: Ends) -> None:
        logger.info(
            "%s (%s) is cancelled and waits for %d jobs below it",
            job.function,
            job.id,
            len(ends.pending),
        )
        try:
            with anyio.move_on_after(LOOK_AGAIN):
                while ends.pending:
                    await ends.next()
        except (RedisError, JobNotFoundError) as error:
            logger.warning("cannot hear of the jobs below %s: %s", job.id, error)
        finally:
            ends.close()

    def _hear(self, payload: bytes) -> None:
        ended = Ended.of_notice(payload)
        if self._asking:
            self._lately.add(ended.id)
        self._waits.tell(ended)
