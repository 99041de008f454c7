"""Takes, while the worker drains, the jobs that its running jobs wait for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from math import inf

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.contracts.keys import Keys
from upnext.model.outcome import Ending, Outcome
from upnext.worker.execution.awaited import Awaited
from upnext.worker.intake.fetcher import Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.log import logger
from upnext.worker.ports import StagePort

MOST_ASKED = 100
"""Jobs in one question."""
RETRY_INTERVAL = 0.5
"""Seconds until it asks again what the broker refused."""


@define(eq=False)
class Drainer:
    """Owns the list of jobs worth asking for while the worker drains.

    A job that runs may wait for one that is still queued. If nobody else takes that one, the first
    would wait until the grace is over, and then be run again from its start. So the worker takes
    it, as soon as it has a slot for it, and what that one waits for in its turn; nothing else.
    What is waited for since last goes first, so that a tree is finished branch by branch.

    It asks for a job when somebody begins to wait for it, and again when that may be of use: after
    an attempt here that put it back into the queue or made room under a limit, at the time that
    the store said, at news of work. It does not take what other queues have, or what is of
    functions that this worker does not run.
    """

    store: StagePort
    keys: Keys
    functions: Sequence[str]
    limited: Collection[str]
    """Those of them that are limited."""
    fetcher: Fetcher
    inbox: Inbox
    awaited: Awaited
    _prefixes: dict[str, str] = field(init=False)
    _drains: bool = field(default=False, init=False)
    _open: dict[str, str] = field(factory=dict[str, str], init=False)
    """Job worth asking for -> its function; the one to ask for first is the last."""
    _later: dict[str, float] = field(factory=dict[str, float], init=False)
    """When a job is worth asking for, by the event loop's clock."""
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._prefixes = {self.keys.function(name): name for name in self.functions}

    def note(self, job_id: str) -> None:
        """A job may be queued. That is news while the worker drains, if somebody waits for it."""
        if not self._drains or job_id not in self.awaited:
            return
        if (function := self._function_of(job_id)) is not None:
            self._later.pop(job_id, None)
            self._open.pop(job_id, None)
            self._open[job_id] = function
            self._changed.set()

    def note_all(self, function: str | None = None) -> None:
        """Any of the jobs that are waited for may be queued, of a function or at all."""
        if self._drains:
            for job_id in self.awaited:
                if function is None or self._function_of(job_id) == function:
                    self.note(job_id)

    def settled(self, batch: Sequence[Outcome]) -> None:
        """Attempts ended here, and it is written how."""
        if self._drains:
            for outcome in batch:
                if outcome.ending in _AGAIN:
                    self.note(outcome.held.id)
                if outcome.held.function in self.limited:
                    self.note_all(outcome.held.function)

    async def run(self) -> None:
        """Take such jobs until no job runs here any more. A hard stop cancels it."""
        self._drains = True
        self.awaited.connect(self.note)
        self.note_all()
        while not self.inbox.ended:
            self._changed = anyio.Event()
            self.inbox.when_idle(self._changed.set)
            try:
                await self._ring()
                if self._open and self.inbox.idle > 0:
                    await self._take()
                    continue
            except RedisError as error:
                logger.warning("cannot take the jobs that running ones wait for: %s", error)
                await anyio.sleep(RETRY_INTERVAL)
                continue
            with anyio.move_on_at(min(self._later.values(), default=inf)):
                await self._changed.wait()

    async def _ring(self) -> None:
        """See to those whose time has come: nobody else of this worker stages them now."""
        now = anyio.current_time()
        due = [job_id for job_id, at in self._later.items() if at <= now]
        if due:
            names = {self._function_of(job_id) for job_id in due}
            await self.store.stage(sorted(filter(None, names)))
            for job_id in due:
                self._later.pop(job_id, None)
                self.note(job_id)

    async def _take(self) -> None:
        """Ask for as many jobs of one function as there are slots."""
        newest = list(islice(reversed(self._open.items()), MOST_ASKED))
        function = newest[0][1]
        ids = [job_id for job_id, name in newest if name == function]
        for job_id in ids:
            del self._open[job_id]
        held = set(self.fetcher.leases.ids())
        ids = [job_id for job_id in ids if job_id in self.awaited and job_id not in held]
        if not ids:
            return
        looked = 0
        try:
            picked = await self.fetcher.pick(function, ids)
            looked = picked.looked
        finally:
            for job_id in reversed(ids[looked:]):
                self._open.setdefault(job_id, function)
        now = anyio.current_time()
        for job_id, wait in picked.later.items():
            # Half a millisecond late is right on time; as much too early is a round trip.
            self._later[job_id] = now + wait / 1000 + 0.0005
        for job in picked.jobs:
            logger.debug("%s (%s): taken, for a running job waits for it", job.function, job.id)

    def _function_of(self, job_id: str) -> str | None:
        """The function of a job, if this worker runs it."""
        try:
            return self._prefixes.get(self.keys.of_job(job_id))
        except ValueError:
            return None


_AGAIN = frozenset({Ending.RETRY, Ending.SNOOZE, Ending.RELEASE})
"""Endings of an attempt that leave its job unfinished."""
