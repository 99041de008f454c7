"""A schedule as the queue keeps it: the durable state of a cron."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property

import orjson
from attrs import field, frozen

from upnext.model.cron import CronPlan, Due, Overlap
from upnext.model.identity import function_tag, occurrence_id

LONGEST_NAME = 128


@frozen(kw_only=True)
class Schedule:
    """One schedule of a function. Times are Unix milliseconds of the store's clock."""

    function: str
    name: str
    """Unique in the function; a declared cron's is the function's own."""
    plan_text: bytes = field(repr=False)
    arguments: bytes = b"{}"
    """JSON: what its jobs are called with."""
    origin: str = ""
    """Where it came from, in words."""
    declared: str = ""
    """Fingerprint of what a worker's code declared; '' when it was added at run time."""
    changed_by: str = ""
    """Where its last change came from, in words."""
    revision: int = 0
    """Counts the changes of it."""
    paused: bool = False
    next_at: int = 0
    """The next occurrence that nobody has decided on."""
    last_at: int | None = None
    """The last occurrence that somebody has decided on."""
    last_job: str = ""
    """The job of the last occurrence that made one; '' while there is none."""
    skipped: int = 0
    """Occurrences that made no job because an earlier one's was not over."""
    created_at: int = 0
    changed_at: int = 0

    @cached_property
    def plan(self) -> CronPlan:
        """What decides when its jobs are made.

        Raises:
            ValueError: This release, or this machine's tz database, cannot use it.
        """
        return CronPlan.decode(self.plan_text)

    @property
    def overlap(self) -> Overlap:
        return self.plan.overlap

    @property
    def is_declared(self) -> bool:
        """Whether a worker's code declares it."""
        return bool(self.declared)

    @property
    def next_run(self) -> datetime | None:
        """When its next job is due; None while it is paused."""
        return None if self.paused else datetime.fromtimestamp(self.next_at / 1000, UTC)

    @property
    def last_run(self) -> datetime | None:
        """The last occurrence that was decided on."""
        return None if not self.last_at else datetime.fromtimestamp(self.last_at / 1000, UTC)


@frozen
class Occurrence:
    """One job that a schedule is to make."""

    id: str
    instant: int
    due: int
    """The instant, put off by the jitter."""
    source: bytes
    """JSON: what the job knows of it."""


@frozen(kw_only=True)
class Firing:
    """What a scheduler asks for: make these jobs, unless somebody was faster."""

    function: str
    schedule: str
    revision: int
    expected: int
    """The schedule's next occurrence, as the scheduler knows it."""
    following: int
    """The first occurrence that this does not decide on."""
    occurrences: Sequence[Occurrence]

    @classmethod
    def of(cls, schedule: Schedule, plan: CronPlan, now: int) -> Firing:
        """What is due of a schedule, going by its plan."""
        tag = function_tag(schedule.function)
        due = plan.due(schedule.next_at, max(now, schedule.next_at))
        return cls(
            function=schedule.function,
            schedule=schedule.name,
            revision=schedule.revision,
            expected=schedule.next_at,
            following=due.following,
            occurrences=[
                Occurrence(
                    id=occurrence_id(tag, schedule.name, instant),
                    instant=instant,
                    due=instant + plan.put_off(f"{tag} {schedule.name}", instant),
                    source=_source(schedule, plan, instant, due),
                )
                for instant in due.instants
            ],
        )


class FiringVerdict(StrEnum):
    """The store's answer to a firing."""

    FIRED = "fired"
    FULL = "full"
    """As many as there was room for; the others stay due."""
    EARLY = "early"
    """By the store's clock it is not time yet."""
    MOVED = "moved"
    """Another scheduler was faster, or the schedule was changed or paused."""
    GONE = "gone"
    """There is no such schedule."""


@frozen
class Fired:
    """What became of one firing."""

    verdict: FiringVerdict
    now: int
    """The store's clock."""
    made: int
    """Jobs that it made."""
    schedule: Schedule | None
    """As it is now."""


class ScheduleAction(StrEnum):
    """What is to be done to a schedule."""

    DECLARE = "declare"
    """Set what a worker's code declares, at its start."""
    RESTORE = "restore"
    """The same, where the store knows nothing of it any more."""
    ADD = "add"
    CHANGE = "change"
    PAUSE = "pause"
    RESUME = "resume"
    REMOVE = "remove"
    RETRACT = "retract"
    """Remove it, if it was declared."""


@frozen(kw_only=True)
class ScheduleOrder:
    """One action on one schedule."""

    action: ScheduleAction
    function: str
    name: str
    revision: int | None = None
    """Only if it is still this revision."""
    next_at: int = 0
    plan: CronPlan | None = None
    arguments: bytes = b"{}"
    origin: str = ""

    @property
    def sets(self) -> bool:
        """Whether it sets a plan."""
        return self.plan is not None

    @property
    def fingerprint(self) -> str:
        """Tells one declaration from another."""
        plan = b"" if self.plan is None else self.plan.encode()
        return hashlib.sha256(plan + b"\n" + self.arguments).hexdigest()[:32]


class OrderVerdict(StrEnum):
    """The store's answer to an order."""

    DONE = "done"
    UNCHANGED = "unchanged"
    """There was nothing to do."""
    EXISTS = "exists"
    MISSING = "missing"
    MOVED = "moved"
    """It is not the expected revision any more."""


@frozen
class Ordered:
    """What became of an order."""

    verdict: OrderVerdict
    now: int
    schedule: Schedule | None


@frozen
class Schedules:
    """The schedules of some functions, at one moment of the store's clock."""

    now: int
    schedules: list[Schedule]


def checked_name(name: str) -> str:
    """A schedule's name, stripped.

    Raises:
        ValueError: it is empty, too long, or has control characters.
    """
    stripped = name.strip()
    if not 1 <= len(stripped) <= LONGEST_NAME or not stripped.isprintable():
        raise ValueError(
            f"a schedule's name has 1 to {LONGEST_NAME} printable characters, not {name!r:.160}"
        )
    return stripped


def _source(schedule: Schedule, plan: CronPlan, instant: int, due: Due) -> bytes:
    missed = instant < due.missed_before
    return orjson.dumps(
        {
            "type": "cron",
            "name": schedule.name,
            "schedule": plan.expression,
            "timezone": plan.timezone,
            "cron_window_at": instant,
            "startup_reconciled": missed,
            "startup_policy": plan.missed_run_policy if missed else None,
        }
    )
