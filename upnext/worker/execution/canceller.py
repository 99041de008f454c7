"""Hears what others want of this worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.contracts.claimed import job_of, unpack_handed
from upnext.contracts.keys import Keys
from upnext.model.job import Job, Revoked
from upnext.model.outcome import Ending, Outcome
from upnext.model.status import CancelReason
from upnext.redis.waiter import Waiter
from upnext.worker.execution.drainer import Drainer
from upnext.worker.execution.running import Running
from upnext.worker.intake.fetcher import Fetcher
from upnext.worker.intake.inbox import Inbox
from upnext.worker.log import logger
from upnext.worker.ports import ControlPort, Subscription
from upnext.worker.scheduling.cron_scheduler import CronScheduler
from upnext.worker.scheduling.event_router import EventRouter
from upnext.worker.scheduling.stager import Stager
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox

RETRY_INTERVAL = 0.5
"""Seconds until it listens again, after the link lost its patience with an unreachable server."""


@define(eq=False)
class Canceller:
    """Owns the worker's ears: the control channel and the due channels of its functions.

    A cancellation reaches the attempt's scope at once, or takes the job out of the inbox. News
    of work goes to the fetcher, and so do jobs that were handed over. The store turns to one
    worker only: one that is full or stops passes the news on and hands the job back. News of the
    schedule goes to the stager, of crons to their scheduler, of events to the router. While the
    worker drains, the drainer looks at news of work before it is passed on. A renewal's answer
    comes in here as well: it covers messages that were lost.
    """

    store: ControlPort
    keys: Keys
    worker: str
    functions: list[str]
    running: Running
    inbox: Inbox
    outbox: Outbox
    leases: Leases
    fetcher: Fetcher
    stager: Stager
    limited: frozenset[str] = frozenset()
    """Functions whose jobs this worker takes only when they can start at once."""
    groups: Mapping[str, Sequence[str]] = field(factory=dict[str, "Sequence[str]"])
    """Group -> its functions here."""
    _prefixes: dict[str, tuple[str, ...]] = field(init=False)
    router: EventRouter | None = None
    crons: CronScheduler | None = None
    drainer: Drainer | None = None
    _unheeded: dict[str, None] = field(factory=dict[str, None], init=False)
    """Functions whose work is to be passed on."""
    _events_unheeded: bool = field(default=False, init=False)
    """Somebody else is to route events."""
    _errand: Waiter = field(factory=Waiter, init=False)

    def __attrs_post_init__(self) -> None:
        self._prefixes = {self.keys.function(name): (name,) for name in self.functions}
        for group, names in self.groups.items():
            self._prefixes[self.keys.group(group)] = tuple(names)

    async def run(self) -> None:
        subscriptions = self._subscribe()
        try:
            while True:
                try:
                    # `_hear` handles the messages: this task sees to it that there is always
                    # somebody who reads, and goes on the errands that take a command.
                    self._errand = Waiter()
                    if self._unheeded or self._events_unheeded:
                        await self._pass_on()
                    else:
                        await self.store.attend(self._errand)
                except RedisError as error:
                    logger.warning("cannot hear of work and cancellations: %s", error)
                    await anyio.sleep(RETRY_INTERVAL)
        finally:
            for subscription in subscriptions:
                subscription.close()

    def revoke(self, revoked: Revoked) -> None:
        """A renewal says that a held job is not to be run on."""
        if revoked.lost:
            self.leases.drop(revoked.id, revoked.delivery)
            self._cancel(revoked.id, revoked.delivery, CancelReason.LEASE_LOST, "lease lost")
        else:
            self._cancel(revoked.id, revoked.delivery, CancelReason.USER, revoked.reason)

    def _subscribe(self) -> list[Subscription]:
        subscribe = self.store.subscribe
        ears = [subscribe(self.keys.worker_channel(self.worker), self._hear, self._gap)]
        for name in self.functions:

            def due(payload: bytes, name: str = name) -> None:
                if payload == b"pause":
                    self._hand_back(name)
                elif self.crons is not None and payload.startswith(b"cron"):
                    self.crons.hear(name, payload)
                else:
                    self.stager.note(name)

            ears.append(subscribe(self.keys.due_channel(name), due, self._gap))
        if self.crons is not None:
            self.crons.note_all()  # what it saw before these ears were open may be old
        return ears

    def _gap(self) -> None:
        """Messages may be missing: look everywhere. Lost cancellations come with a renewal."""
        self.fetcher.doubt()
        if self.drainer is not None:
            self.drainer.note_all()
        self.stager.note_all()
        if self.router is not None:
            self.router.note()
        if self.crons is not None:
            self.crons.note_all()

    async def _pass_on(self) -> None:
        if self._events_unheeded:
            self._events_unheeded = False
            await self.store.take(self.worker, 0, 0)
        names, self._unheeded = list(self._unheeded), {}
        if names:
            await self.store.claim(self.worker, [(name, 0) for name in names])
        for name in self.limited.intersection(names):
            # To pass news of a limit on is to wait for it no more; a claim that was under way may
            # have left slots free, and then nobody would tell us again.
            self.fetcher.demand.note(name)

    def _hear(self, payload: bytes) -> None:
        if payload.startswith(b"job "):
            self._accept(payload)
            return
        verb, _, rest = payload.decode(errors="replace").partition(" ")
        if verb == "work" and rest == self.keys.events:
            if not (self.router and self.router.note()):
                self._events_unheeded = True
                self._errand.wake()
        elif verb == "work":
            for name in self._prefixes.get(rest, ()):
                self.fetcher.demand.note(name)
                if self.drainer is not None:
                    self.drainer.note_all(name)
                if self.inbox.full or (self.inbox.idle <= 0 and name in self.limited):
                    self._unheeded[name] = None
                    self._errand.wake()
        elif verb == "cancel":
            job_id, _, rest = rest.partition(" ")
            delivery, _, reason = rest.partition(" ")
            if delivery.isdecimal() and len(delivery) < 20:
                self._cancel(job_id, int(delivery), CancelReason.USER, reason)

    def _accept(self, payload: bytes) -> None:
        prefix, now, row = unpack_handed(payload)
        names = self._prefixes.get(prefix)
        if names is None:
            return
        job = job_of(names[0], row, now)
        if not self.fetcher.take(job):
            self.outbox.put(_unstarted(job, Ending.RELEASE, "no free slot"))

    def _hand_back(self, function: str) -> None:
        """It was paused: what has not started waits with the others."""
        for job in self.inbox.withdraw_all(function):
            self.outbox.put(_unstarted(job, Ending.RELEASE, "paused"))

    def _cancel(self, job_id: str, delivery: int, reason: CancelReason, message: str) -> None:
        if self.running.cancel(job_id, delivery, reason, message):
            return
        job = self.inbox.withdraw(job_id, delivery)
        if job is None:
            return  # it is settled, or about to be
        if reason is not CancelReason.LEASE_LOST:
            self.outbox.put(_unstarted(job, Ending.CANCELLED, message))


def _unstarted(job: Job, ending: Ending, reason: str) -> Outcome:
    return Outcome(held=job.held, ending=ending, reason=reason)
