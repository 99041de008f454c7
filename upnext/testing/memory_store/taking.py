"""How a job becomes a worker's own; the twin of `_taking.lua`."""

from __future__ import annotations

from attrs import define, field

from upnext.contracts.claimed import pack_handed, row_of
from upnext.model.job import Job
from upnext.model.limits import split_keys
from upnext.model.status import JobStatus
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record
from upnext.testing.memory_store.ring import Opening

SUSPECTS_LIVE = 15 * 60_000
SUSPECT_AGAIN = 1_000
"""Milliseconds after which a job that was kept apart from another one is queued again."""
PATIENCE = 1_000
"""Expired jobs that one claim buries at most before it answers."""


def take_jobs(
    queue: Queue, now: int, worker: str, want: int, *, pushing: bool = False
) -> tuple[list[Job], bool, Opening | None]:
    """Take up to `want` jobs; True when nothing is left; and what the gate said, if there is one.

    Highest lane first. One job in five is taken from the lowest lane up, so that low priorities
    never starve. `pushing`: nobody asked; behind a gate nothing is given then.
    """
    taking = Taking(queue, now, worker, want)
    lanes, most, gate = queue.lanes.to_claim(), want, None
    if queue.ring.is_gate:
        if pushing or want < 1:
            return [], False, Opening(queue.ring.limits)
        gate = taking.gate = queue.open_gate(now)
        most = min(want, gate.room)
    keyed = queue.ring.keyed
    if keyed and most > 0:
        if queue.ring.limits.rate_per_key is not None:
            queue.ring.due(now)
        taking.read_ring(queue.low_share(most, 2) if lanes else most)
    if len(lanes) > 1 and most > len(taking.jobs):
        low = min(queue.low_share(most, 5), most - len(taking.jobs))
        for lane in reversed(lanes):
            low -= taking.read(lane, low)
    for lane in lanes:
        taking.read(lane, most - len(taking.jobs))
    if keyed:
        taking.read_ring(most - len(taking.jobs))
    if gate is not None:
        queue.ring.close(now, gate, len(taking.jobs), want)
    dry = len(taking.jobs) < want and taking.has_patience
    return taking.jobs, dry, gate


def hand_over(queue: Queue, now: int) -> None:
    """Claim one job for the worker that has been hungry longest, and push the job to it."""
    while channel := queue.pop_hungry():
        if not queue.channels.listeners(channel):
            continue
        jobs, dry, _ = take_jobs(queue, now, channel.rpartition(":")[2], 1, pushing=True)
        if jobs:
            queue.publish(channel, pack_handed(queue.prefix, now, row_of(jobs[0])))
        elif dry:
            queue.feel_hungry(channel, now)
        else:
            queue.publish(channel, f"work {queue.prefix}".encode())
        return


@define(eq=False)
class Taking:
    """One claim under way."""

    queue: Queue
    now: int
    worker: str
    want: int
    gate: Opening | None = None
    jobs: list[Job] = field(factory=list[Job], init=False)
    _looked: int = field(default=0, init=False)

    @property
    def has_patience(self) -> bool:
        return self._looked < self.want + PATIENCE

    def read(self, lane: str, most: int) -> int:
        """Take up to so many out of a lane; how many were taken."""
        before = len(self.jobs)
        while len(self.jobs) - before < most and self.has_patience:
            asked = most - (len(self.jobs) - before)
            found = self.queue.lanes.take(lane, asked)
            self._looked += len(found)
            for job in found:
                self.start(job)
            if len(found) < asked:
                break
        return len(self.jobs) - before

    def read_ring(self, wanted: int) -> None:
        """Take up to so many of those that have keys; the keys take turns."""
        before = len(self.jobs)
        while len(self.jobs) - before < wanted and self.has_patience:
            keys = self.queue.ring.pop()
            if keys is None:
                return
            self._looked += 1
            self._take_turn(keys, wanted - (len(self.jobs) - before))

    def _take_turn(self, keys: str, room: int) -> None:
        ring = self.queue.ring
        key, rated = split_keys(keys)
        room = max(1, room // (len(ring.turns) + 1))
        most, rate = ring.limits.most_per_key, ring.limits.rate_per_key
        if most is not None and key:
            room = min(room, most - len(ring.busy.get(key, ())))
            if room < 1:
                ring.hold_back(key, keys)
                return
        level = None
        if rate is not None and rated:
            level = ring.level(rated, rate, self.now)
            room = min(room, rate.starts(level))
            if room < 1:
                ring.timed[keys] = self.now + rate.wait(level)
                ring.free(key)
                return
        before = len(self.jobs)
        low = self.queue.low_share(room, 5) if ring.is_mixed(keys) else 0
        for job_id in ring.next_of(keys, room, low):
            self._looked += 1
            job = self.queue.jobs[job_id]
            if self.start(job):
                self.queue.lanes.claimed(job)
                if key:
                    ring.busy.setdefault(key, set()).add(job_id)
            ring.unpark(keys, job_id)
        if rate is not None and level is not None and len(self.jobs) > before:
            ring.buckets[rated] = rate.after(level, len(self.jobs) - before, self.now)
        if keys in ring.waiting:
            ring.enter(keys)
        ring.free(key)

    def start(self, job: Record) -> bool:
        """Start one, unless it is too late or to be kept apart; whether it was started."""
        queue, now = self.queue, self.now
        if job.deadline is not None and job.deadline <= now:
            late = "the deadline passed before a worker was free"
            queue.finish(job, now, JobStatus.EXPIRED, reason=late)
            return False
        if job.rescues > 1:
            if _has_suspect(queue, self.worker):
                _keep_apart(queue, now, job)
                return False
            queue.suspects[self.worker] = job.id
            queue.suspects_until = now + SUSPECTS_LIVE
        job.status = JobStatus.RUNNING
        job.attempt += 1
        job.delivery += 1
        job.worker, job.claimed, job.renewed = self.worker, now, now
        if self.gate is not None:  # whether its end makes room
            limits = self.gate.limits
            counted = limits.most is not None or limits.most_per_key is not None
            job.limited = job.limited or counted
        queue.emit("running", job, attempt=job.attempt, delivery=job.delivery, worker=self.worker)
        self.jobs.append(job.as_job(now))
        return True


def _has_suspect(queue: Queue, worker: str) -> bool:
    """Whether this worker has a job that was lost with two workers or more."""
    job = queue.jobs.get(queue.suspects.get(worker, ""))
    return job is not None and (job.status, job.worker) == (JobStatus.RUNNING, worker)


def _keep_apart(queue: Queue, now: int, job: Record) -> None:
    job.reason = "kept apart from another job that was lost with workers"
    queue.to_schedule(job, now + SUSPECT_AGAIN)
    queue.emit(
        "snooze",
        job,
        attempt=job.attempt,
        delivery=job.delivery,
        due=job.due,
        reason=job.reason,
    )
