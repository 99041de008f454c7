"""Submits that come together go to the queue together."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

from redis import exceptions as known

from upnext.errors import JobRefusedError
from upnext.model.job import Enqueued, NewJob
from upnext.redis.loops import Bell, primitives

MOST = 16
"""Submits that join another one: the server serves nobody else while it takes them, and a busy
event loop has others to make ready meanwhile."""
LARGE = 1 << 14
"""Bytes of arguments with which a job goes alone, so that nobody waits for them to be sent."""

Answer = Enqueued | JobRefusedError


class Acceptor(Protocol):
    """What takes the jobs."""

    @property
    def busy(self) -> bool: ...
    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Answer]: ...


class Gathering:
    """Owns the submits of this turn of the event loop, once there are several.

    A submit that finds the queue's link idle is sent at once, unless the last one that looked for
    company found some. One that finds it busy would wait anyway: it takes along what others submit
    before its next turns, those of one function in one call of one script. That costs the server
    less for each job, and every caller but the first.

    Args:
        store: The queue.
    """

    def __init__(self, store: Acceptor) -> None:
        self._store = store
        self._open: _Party | None = None
        """Those who are not sent yet; whoever comes joins them."""
        self._company = False
        """Whether somebody joined the last one who waited for that."""

    async def submit(self, job: NewJob) -> Enqueued:
        """Have a job accepted, alone or with others.

        Raises:
            JobRefusedError: the queue did not accept it.
            redis.exceptions.RedisError: the queue cannot be reached, or refused the command.

        Cancelled, it may or may not have been accepted; the others' jobs are all the same.
        """
        party = self._open
        alone = party is None and not (self._company or self._store.busy)
        if alone or len(job.arguments) > LARGE:
            [answer] = await self._store.enqueue((job,))
        elif party is None or len(party.bells) >= MOST:
            answer = await self._lead(job)
        else:  # the most usual case where it matters, so no call more than it takes
            bell = party.loop.bell()
            party.bells.append(bell)
            party.jobs.append(job)
            place = len(party.bells)
            try:
                await bell.wait()
            finally:
                if not party.sent:
                    party.jobs[place] = None
            answer = party.answers[place] if party.answers else await self._retry(party, job)
        if isinstance(answer, JobRefusedError):
            raise answer
        return answer

    async def _lead(self, job: NewJob) -> Answer:
        party = self._open = _Party(job)
        try:
            try:
                # The requests of one turn of the loop need two to get to their handlers.
                await party.loop.turn()
                await party.loop.turn()
            finally:
                if self._open is party:
                    self._open = None
            party.sent, self._company = True, bool(party.bells)
            await party.send(self._store)
        except (known.ConnectionError, known.TimeoutError) as error:
            party.error = error
            raise
        finally:
            for bell in party.bells:
                bell.set()
        return party.answers[0]

    async def _retry(self, party: _Party, job: NewJob) -> Answer:
        if (error := party.error) is not None:  # nobody else need wait for the server as long
            raise type(error)(*error.args) from error
        # The leader was cancelled, or the call failed, which may be one job's doing. Those that
        # were accepted all the same are known by their ids.
        [answer] = await self._store.enqueue((job,))
        return answer


class _Party:
    """Some submits that go together; the first one's caller sends for all."""

    __slots__ = ("answers", "bells", "error", "jobs", "loop", "sent")

    def __init__(self, job: NewJob) -> None:
        self.loop = primitives()
        self.jobs: list[NewJob | None] = [job]
        """One of each caller, the leader's first; None: he left before it was sent."""
        self.bells: list[Bell] = []
        """What each but the leader waits for."""
        self.answers: Sequence[Answer] = ()
        """What became of the jobs; empty when the call failed."""
        self.sent = False
        self.error: known.RedisError | None = None
        """Why the queue could not be reached."""

    async def send(self, store: Acceptor) -> None:
        """Have the jobs accepted, those of one function in one call."""
        jobs = sorted(filter(None, self.jobs), key=attrgetter("function"))
        answers = await store.enqueue(jobs)
        if jobs != self.jobs:  # sorted, or without those who left
            of_job = dict(zip(jobs, answers, strict=True))
            # Nobody asks for the answer of one who left.
            answers = [of_job[job or jobs[0]] for job in self.jobs]
        self.answers = answers
