"""Everything of one function, and what several verbs do with it; the twin of `_prelude.lua`."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from math import inf

from upnext.model.dedupe import DedupeKind, gives_up
from upnext.model.lineage import is_below, path_token
from upnext.model.schedule import Schedule
from upnext.model.status import JobStatus
from upnext.store.bounds import Bounds
from upnext.testing.memory_store.channels import Channels
from upnext.testing.memory_store.lanes import Lanes
from upnext.testing.memory_store.line import Line
from upnext.testing.memory_store.marks import Marks
from upnext.testing.memory_store.record import Record
from upnext.testing.memory_store.ring import Opening, Ring

HUNGRY_LIVE = 15 * 60_000
"""Milliseconds after which workers that said they are free are forgotten."""
MARK_LIVE = 24 * 3_600_000
"""Milliseconds for which a cancelled tree refuses new jobs."""

Event = dict[str, str | int | bytes]
"""One entry of the stream that history reads."""


class Queue:
    """Owns what the keys under a function's prefix hold.

    Attributes:
        jobs: Job id -> its record.
        lanes: Who waits for a worker.
        ring: The limits, and who waits by its limit keys.
        scheduled: Job id -> when it is due.
        holders: Idempotency key -> the unfinished job that holds it.
        deadlines: Unfinished job with a deadline -> its deadline.
        families: Root id -> the unfinished jobs below it.
        cancelled: Mark of a cancelled tree, or of a part of one -> when it may go.
        dead: Dead letter -> when it became one.
        dropped: Counts the dead letters that were dropped because there were too many.
        suspects: Worker -> the job it has that was lost with two workers or more.
        marks: Who has which key by its kind of deduplication.
        events: Every transition.
        schedules: Schedules, by name; also those that were removed and left a mark.
        removed: The names of the latter.
        lines: Schedule -> its unfinished jobs that run one after another, in order.
        share: Counts the jobs asked for: every fifth is taken from the lowest lane up.
        hungry_live: Milliseconds after which workers that said they are free are forgotten.
        on_change: Told of every transition.
        freed: Whether an end made room under a limit; see `give_room`.
        unwilling: A worker that hands jobs back now, and is the last to be told of them.
    """

    def __init__(self, prefix: str, bounds: Bounds, channels: Channels) -> None:
        self.prefix = prefix
        self.bounds = bounds
        self.channels = channels
        self.publish = channels.publish
        self.jobs: dict[str, Record] = {}
        self.lanes = Lanes()
        self.ring = Ring()
        self.scheduled: dict[str, int] = {}
        self.holders: dict[str, str] = {}
        self.deadlines: dict[str, int] = {}
        self.families: dict[str, set[str]] = {}
        self.cancelled: dict[str, int] = {}
        self.dead: dict[str, int] = {}
        self.dropped = 0
        self.marks = Marks()
        self.suspects: dict[str, str] = {}
        self.suspects_until = 0
        self.events: deque[Event] = deque(maxlen=bounds.events_kept)
        self.schedules: dict[str, Schedule] = {}
        self.removed: set[str] = set()
        self.lines: dict[str, list[str]] = {}
        self.share = 0
        self.hungry_live = HUNGRY_LIVE
        self.on_change: Callable[[Record], None] | None = None
        self.freed, self.unwilling = False, ""
        self._hungry, self._barred = Line(), Line()
        self._marks_until = 0
        self._dead_until: int | None = None
        self._expiries: list[tuple[int, str]] = []

    def expire(self, now: int) -> None:
        """Forget what has outlived its time, as a server does by itself."""
        while self._expiries and self._expiries[0][0] < now:
            at, job_id = heapq.heappop(self._expiries)
            if job_id in self.jobs and self.jobs[job_id].expires == at:
                del self.jobs[job_id]
        self._hungry.expire(now)
        self._barred.expire(now)
        if self._marks_until < now:
            self.cancelled.clear()
        if self._dead_until is not None and self._dead_until < now:
            self.dead.clear()
        if self.suspects_until < now:
            self.suspects.clear()
        self.marks.expire(now)

    def emit(self, kind: str, job: Record, **fields: str | int | bytes) -> None:
        """Tell history of a transition; what is empty is left out."""
        given = {name: value for name, value in fields.items() if value not in ("", b"")}
        self.events.append({"type": kind, "id": job.id, **given})
        if self.on_change is not None:
            self.on_change(job)

    def emit_own(self, kind: str, **fields: str | int) -> None:
        """Tell history of what happened to the function itself."""
        given = {name: value for name, value in fields.items() if value != ""}
        self.events.append({"type": kind, "id": "-", **given})

    def feel_hungry(self, channel: str, now: int) -> None:
        """A worker has free slots and found nothing more to do."""
        self._hungry.join(channel, now, now + self.hungry_live)

    def forget_hunger(self, channel: str) -> None:
        """A worker stops."""
        self._hungry.leave(channel)
        self._barred.leave(channel)

    def wake(self) -> None:
        """Tell one worker with free slots that there is work; those who are gone are forgotten."""
        self._tell_one_of(self._hungry)

    def _tell_one_of(self, *lines: Line) -> None:
        own: str | None = None
        for line in lines:
            for channel in line.in_order():
                if channel.rpartition(":")[2] == self.unwilling:
                    own = own or channel
                    continue
                line.leave(channel)
                if self._tell_of_work(channel):
                    return
        if own:
            self._tell_of_work(own)

    def _tell_of_work(self, channel: str) -> bool:
        return self.publish(channel, f"work {self.prefix}".encode()) > 0

    def pop_hungry(self) -> str | None:
        """The channel of the worker that has been hungry longest; it is forgotten."""
        return self._hungry.pop()

    def leave_bar(self, channel: str) -> None:
        """A worker does not wait for a limit any more."""
        self._barred.leave(channel)

    def stand_by(self, channel: str, now: int, *, barred: bool) -> int:
        """A worker got less than it asked for; how many wait longer for the same."""
        line, other = (self._barred, self._hungry) if barred else (self._hungry, self._barred)
        other.leave(channel)
        line.join(channel, now, now + self.hungry_live)
        return line.ahead_of(channel)

    def rouse(self) -> None:
        """Tell a worker that waits for a limit, or else a hungry one, that something may run."""
        self._tell_one_of(self._barred, self._hungry)

    def rouse_all(self) -> None:
        """Tell all that wait for a limit."""
        while channel := self._barred.pop():
            self.publish(channel, f"work {self.prefix}".encode())
        self.wake()

    def open_gate(self, now: int) -> Opening:
        """What may start now; a pause whose time is over ends."""
        paused = self.ring.paused
        if paused is not None and 0 < paused <= now:
            self.lift("its time was over")
        return self.ring.open(now, len(self.held()))

    def lift(self, reason: str) -> None:
        """End a pause."""
        self.ring.paused = None
        self.emit_own("resumed", reason=reason)

    def let_go(self, job: Record) -> None:
        """An attempt ended: give back what it held of the limits."""
        self.ring.let_go(job)
        self.freed = self.freed or job.limited

    def give_room(self) -> None:
        """At the end of a verb: if an end made room under a limit, somebody hears of it."""
        freed, self.freed = self.freed, False
        if freed:
            self.rouse()
        self.unwilling = ""

    def low_share(self, count: int, one_in: int) -> int:
        """How many of the next `count` jobs are those of the one in so many."""
        self.share += count
        return self.share // one_in - (self.share - count) // one_in

    def to_lane(self, job: Record, *, first: bool) -> bool:
        """Let a job wait for a worker; `first`: ahead of those of its priority that wait.

        Returns:
            Whether that is news to workers: not where its limit keys are known to wait.
        """
        job.status = JobStatus.QUEUED
        if job.keys:
            job.lane, job.entry = "", 0
            return self.ring.put(job, first=first)
        self.lanes.put(job, first=first)
        return True

    def limit(self, job: Record, deadline: int | None) -> None:
        """Set when an unfinished job must be over; None: it has all the time there is."""
        job.deadline = deadline
        if deadline is None:
            self.deadlines.pop(job.id, None)
        else:
            self.deadlines[job.id] = deadline

    def to_schedule(self, job: Record, due: int) -> None:
        """Let a job wait for its time; stagers hear of it when it is now the first one due."""
        job.status, job.due = JobStatus.SCHEDULED, due
        job.lane, job.entry = "", 0
        self.scheduled[job.id] = due
        if self.first_scheduled() == job.id:
            self.publish(f"{self.prefix}due", str(due).encode())

    def first_scheduled(self) -> str | None:
        """The job that is due next."""
        return min(self.scheduled, key=lambda i: (self.scheduled[i], i), default=None)

    def room(self) -> float:
        """How many more jobs may wait."""
        most = self.bounds.most_waiting
        waiting = len(self.scheduled) + len(self.marks.followers) + len(self.lanes)
        return most - waiting - len(self.ring) if most else inf

    def is_unfinished(self, job_id: str) -> bool:
        """Whether there is such a job, and it is not over."""
        job = self.jobs.get(job_id)
        return job is not None and not job.status.is_terminal()

    def advance_line(self, schedule: str, now: int) -> None:
        """Let the first job in line go on that is not over, if it does not already."""
        line = self.lines.get(schedule, [])
        while line:
            job = self.jobs.get(line[0])
            if job is not None and not job.status.is_terminal():
                break
            del line[0]
        else:
            self.lines.pop(schedule, None)
            return
        if job.status is not JobStatus.SCHEDULED or job.id in self.scheduled:
            return
        if job.due > now:
            self.to_schedule(job, job.due)
            return
        self.to_lane(job, first=False)
        self.emit("queued", job, attempt=job.attempt)
        self.wake()

    def held(self, worker: str | None = None) -> list[Record]:
        """The running jobs, of one worker or of all, in the order in which they are rescued."""
        running = [
            job
            for job in self.jobs.values()
            if job.status is JobStatus.RUNNING and worker in (None, job.worker)
        ]
        places = {lane: place for place, lane in enumerate(self.lanes.highest_first())}
        return sorted(running, key=lambda job: (places[job.lane], job.entry))

    def unqueue(self, job: Record) -> None:
        """Take a job out of where it waits."""
        if job.status is JobStatus.SCHEDULED:
            self.scheduled.pop(job.id, None)  # one that waits for another's end is not there
        elif job.keys:
            self.freed = self.ring.leave(job) or self.freed
        else:
            self.lanes.drop(job)

    def expire_job(self, job: Record, now: int) -> bool:
        """End a job that still waits after its deadline; False when it is none."""
        waits = job.status in (JobStatus.SCHEDULED, JobStatus.QUEUED)
        if not waits or job.deadline is None or job.deadline > now:
            return False
        self.unqueue(job)
        late = "the deadline passed while it waited"
        self.finish(job, now, JobStatus.EXPIRED, reason=late)
        return True

    def below(self, root_id: str, job_id: str) -> list[Record]:
        """The unfinished jobs below a job."""
        family = [self.jobs[member] for member in sorted(self.families.get(root_id, ()))]
        return [job for job in family if is_below(job_id, root_id, job.path)]

    def mark_cancelled(self, root_id: str, job_id: str, now: int) -> None:
        """Refuse new jobs below this one for a day."""
        for mark in [mark for mark, until in self.cancelled.items() if until <= now]:
            del self.cancelled[mark]
        mark = root_id if job_id == root_id else f"{root_id} {path_token(job_id)}"
        self.cancelled[mark] = self._marks_until = now + MARK_LIVE

    def is_cancelled(self, root_id: str, path: list[str]) -> bool:
        """Whether a job with this root and these ids or tokens above it is in a cancelled part."""
        marks = {root_id, *(f"{root_id} {path_token(one)}" for one in path)}
        return not marks.isdisjoint(self.cancelled)

    def bury(self, job: Record, now: int) -> None:
        """Make a dead letter of a job that is over; too many of them drop the oldest."""
        ttl, most = self.bounds.dead_ttl, self.bounds.dead_most
        self.dead[job.id] = now
        if ttl:
            self.dead = {letter: at for letter, at in self.dead.items() if at > now - ttl}
        self._dead_until = now + ttl if ttl else None
        self.live_until(job, now + max(ttl, self.bounds.record_ttl) if ttl else None)
        while most and len(self.dead) > most:
            oldest = min(self.dead, key=lambda letter: (self.dead[letter], letter))
            at = self.dead.pop(oldest)
            self.dropped += 1
            self.live_until(self.jobs[oldest], max(now, at + self.bounds.record_ttl))

    def live_until(self, job: Record, time: int | None) -> None:
        """Set when a job's record goes; None: it stays."""
        job.expires = time
        if time is not None:
            heapq.heappush(self._expiries, (time, job.id))

    def finish(
        self,
        job: Record,
        now: int,
        status: JobStatus,
        *,
        result: bytes = b"",
        error: bytes = b"",
        reason: str = "",
        started: int | None = None,
        worker: str | None = None,
    ) -> None:
        """The end of a job.

        Its record gets its time to live, its key and family mark go, those who wait are told,
        history gets its event. `worker` is whom the event names, when it is not the owner.
        """
        job.status, job.finished, job.started = status, now, started
        job.result, job.error, job.reason = result, error, reason
        self.live_until(job, now + self.bounds.record_ttl)
        if job.key and self.holders.get(job.key) == job.id:
            del self.holders[job.key]
        family = self.families.get(job.root, set())
        family.discard(job.id)
        if not family:
            self.families.pop(job.root, None)
        self.deadlines.pop(job.id, None)
        self._give_up(job, now, status, result)
        self.emit(
            status.value,
            job,
            attempt=job.attempt,
            delivery=job.delivery,
            worker=job.worker if worker is None else worker,
            started="" if started is None else started,
            result=result,
            error=error,
            reason=reason,
        )
        if job.reported is not None:
            self.publish(f"{self.prefix}said:{job.id}", b"over")
        if job.serial:
            self.advance_line(job.serial, now)
        for channel in job.waiters:
            self.publish(channel, job.notice())

    def _give_up(self, job: Record, now: int, status: JobStatus, result: bytes) -> None:
        """What a job holds by its kind of deduplication, and its result, at its end."""
        marks, dedupe, caching = self.marks, job.dedupe, job.caching
        if dedupe is not None and dedupe.kind is DedupeKind.RERUN:
            follower = marks.leave(dedupe.key, job.id)
            if follower is not None:
                self._start(self.jobs[follower], now)
        elif dedupe is not None and gives_up(dedupe.kind, status):
            marks.drop(dedupe.mark, job.id)
        if caching is not None:
            if marks.makers.get(caching.key) == job.id:
                del marks.makers[caching.key]
            if status is JobStatus.COMPLETE:
                marks.keep(caching.key, result, now + caching.ttl)

    def _start(self, job: Record, now: int) -> None:
        """The job that this one waited for is over."""
        job.due = now
        self.to_lane(job, first=False)
        self.emit("queued", job, attempt=0)
        self.wake()
