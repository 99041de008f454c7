"""Limits: what of a function may run now, and the fair order of jobs that have keys.

The twin of `_ring.lua`.
"""

from __future__ import annotations

from attrs import define, field

from upnext.model.limits import Bucket, Limits, Rate, split_keys
from upnext.testing.memory_store.record import Record

DUE_AT_ONCE = 100
_FOREVER = 2**60


@define
class Opening:
    """What a function's gate lets through now."""

    limits: Limits
    room: int = _FOREVER
    """Jobs that may start."""
    most: int | None = None
    """Jobs that the number at once alone would let start."""
    level: int = 0
    """Of the function's own rate."""
    paused: bool = False
    later: int | None = None
    """Milliseconds until more may start, if time alone brings that."""
    barred: bool = False
    """A limit kept jobs from starting."""


@define(eq=False)
class Ring:
    """Owns the limits of one function, and who waits for them.

    Attributes:
        limits: What its worker declared.
        paused: Until when it is paused; 0: until it is resumed; None: it is not.
        waiting: Limit keys -> the jobs that wait, by (class, order), as ids.
        keyed: Whether it ever had jobs with keys.
    """

    limits: Limits = field(factory=Limits)
    paused: int | None = None
    waiting: dict[str, dict[str, tuple[int, int]]] = field(
        factory=dict[str, dict[str, tuple[int, int]]], init=False
    )
    keyed: bool = field(default=False, init=False)
    buckets: dict[str, Bucket] = field(factory=dict[str, Bucket], init=False)
    timed: dict[str, int] = field(factory=dict[str, int], init=False)
    busy: dict[str, set[str]] = field(factory=dict[str, set[str]], init=False)
    stuck: dict[str, dict[str, None]] = field(factory=dict[str, dict[str, None]], init=False)
    _turns: dict[str, None] = field(factory=dict[str, None], init=False)
    _order: int = field(default=0, init=False)

    @property
    def is_gate(self) -> bool:
        """Whether claims must look here."""
        return self.keyed or self.paused is not None or bool(self.limits.fields)

    @property
    def turns(self) -> list[str]:
        """The keys whose turn comes, the next one first."""
        return list(self._turns)

    def __len__(self) -> int:
        """How many jobs wait."""
        return sum(len(jobs) for jobs in self.waiting.values())

    def put(self, job: Record, *, first: bool) -> bool:
        """Let a job wait for the turn of its keys; whether nobody knew that they have one."""
        self.keyed = True
        self._order += 1
        place = (2 * (9 - job.priority) + (not first), self._order)
        jobs = self.waiting.setdefault(job.keys, {})
        jobs.setdefault(job.id, place)
        if len(jobs) > 1:
            return False
        self.enter(job.keys)
        return True

    def enter(self, keys: str) -> None:
        """Let keys have their turn after all others."""
        self._turns.setdefault(keys)

    def pop(self) -> str | None:
        """The keys whose turn it is."""
        keys = next(iter(self._turns), None)
        if keys is not None:
            del self._turns[keys]
        return keys

    def unpark(self, keys: str, job_id: str) -> None:
        """A job does not wait any more."""
        jobs = self.waiting.get(keys, {})
        jobs.pop(job_id, None)
        if not jobs:
            self.waiting.pop(keys, None)

    def leave(self, job: Record) -> bool:
        """A waiting job is over; whether that may let others have their turn."""
        self.unpark(job.keys, job.id)
        if job.keys in self.waiting:
            return False
        key, _ = split_keys(job.keys)
        self._turns.pop(job.keys, None)
        self.timed.pop(job.keys, None)
        if not key:
            return False
        self._unstick(key, job.keys)
        self.free(key)
        return True

    def hold_back(self, key: str, keys: str) -> None:
        """Keys have no room until a job of their concurrency key ends."""
        self._order += 1
        self.stuck.setdefault(key, {})[keys] = None

    def free(self, key: str) -> None:
        """Where a key has room again, let the next of those that share it have a turn."""
        keys = next(iter(self.stuck.get(key, ())), None)
        if keys is None:
            return
        most = self.limits.most_per_key
        if most is not None and len(self.busy.get(key, ())) >= most:
            return
        self._unstick(key, keys)
        self.enter(keys)

    def let_go(self, job: Record) -> None:
        """An attempt ended: give back what it held."""
        key, _ = split_keys(job.keys) if job.keys else ("", "")
        running = self.busy.get(key, set())
        if key and job.id in running:
            running.discard(job.id)
            if not running:
                del self.busy[key]
            self.free(key)

    def restart(self) -> None:
        """The limits changed: look at everything afresh."""
        for key in sorted(self.stuck):
            for keys in self.stuck[key]:
                self.enter(keys)
        self.stuck.clear()
        for keys in sorted(self.timed, key=lambda one: (self.timed[one], one)):
            self.enter(keys)
        self.timed.clear()

    def due(self, now: int) -> None:
        """Let keys have a turn whose rate lets a job start."""
        early = sorted((at, keys) for keys, at in self.timed.items() if at <= now)
        for _, keys in early[:DUE_AT_ONCE]:
            del self.timed[keys]
            self.enter(keys)

    def first_due(self) -> int | None:
        """When the next of the keys has its turn that a rate holds back."""
        return min(self.timed.values(), default=None)

    def level(self, bucket: str, rate: Rate, now: int) -> int:
        """How full a rate's bucket is."""
        return rate.level(self.buckets.get(bucket), now)

    def open(self, now: int, running: int) -> Opening:
        """What may start now; `running`: jobs of the function that are claimed."""
        opening, limits = Opening(self.limits), self.limits
        if self.paused is not None:
            opening.paused, opening.room = True, 0
            opening.later = self.paused - now if self.paused else None
            return opening
        if limits.most is not None:
            opening.room = opening.most = limits.most - running
        if limits.rate is not None:
            opening.level = self.level("", limits.rate, now)
            opening.room = min(opening.room, limits.rate.starts(opening.level))
        return opening

    def close(self, now: int, opening: Opening, started: int, want: int) -> None:
        """So many started: see whether a limit keeps the others from it."""
        rate = self.limits.rate
        if rate is not None and started:
            bucket = self.buckets[""] = rate.after(opening.level, started, now)
            opening.level = bucket.level
        opening.barred = started < want and started >= opening.room
        if opening.paused:
            return
        full = opening.most is not None and started >= opening.most
        if opening.barred and rate is not None and not full:
            opening.later = rate.wait(opening.level)

    def next_of(self, keys: str, room: int, low: int) -> list[str]:
        """The next jobs of keys: the highest priority first, `low` ones of the lowest."""
        jobs = self.waiting.get(keys, {})
        order = sorted(jobs, key=jobs.__getitem__)
        if not low:
            return order[:room]
        lowest = jobs[order[-1]][0]
        chosen = [job_id for job_id in order if jobs[job_id][0] == lowest][:low]
        for job_id in order[:room]:
            if len(chosen) < room and job_id not in chosen:
                chosen.append(job_id)
        return chosen

    def is_mixed(self, keys: str) -> bool:
        """Whether jobs of several priorities wait."""
        return len({place[0] for place in self.waiting.get(keys, {}).values()}) > 1

    def _unstick(self, key: str, keys: str) -> None:
        held = self.stuck.get(key, {})
        held.pop(keys, None)
        if not held:
            self.stuck.pop(key, None)
