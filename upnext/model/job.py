"""A job at each border it crosses: submitted, claimed, looked up."""

from __future__ import annotations

from enum import StrEnum

from attrs import define, field, frozen

from upnext.model.dedupe import Caching, Dedupe
from upnext.model.identity import function_tag
from upnext.model.status import JobStatus

LOWEST_PRIORITY = -9
HIGHEST_PRIORITY = 9


@define(eq=False)  # not frozen: bulk submits make many
class NewJob:
    """What a producer hands to the queue. All times are in milliseconds.

    Name what you set, but for the first three.
    """

    id: str
    function: str
    arguments: bytes
    """JSON, opaque to the scripts."""
    priority: int = 0
    """From -9 to 9; higher is claimed first."""
    delay: int | None = None
    """Run this long after the store accepted it."""
    at: int | None = None
    """Run at this Unix time."""
    deadline: int | None = None
    """Do not start after this Unix time."""
    budget: int | None = None
    """Do not start later than this after the store accepted it; the earlier limit counts."""
    key: str = ""
    """Idempotency key: while a job with this key is not finished, no second one is made."""
    parent_id: str = ""
    root_id: str = ""
    source: bytes = b""
    """JSON: what made this job other than a plain submit (a cron, an event, a replay)."""
    waiter: str = ""
    """The channel on which somebody already waits for the result."""
    limit_keys: str = ""
    """Whose share of the limits it counts against: see `upnext.model.limits.limit_keys`."""
    path: str = ""
    """The jobs between its root and itself; see `upnext.model.lineage`."""
    dedupe: Dedupe | None = None
    """How it is deduplicated, other than by an idempotency key."""
    caching: Caching | None = None
    """Where its result is looked for first, and kept afterwards."""

    @property
    def tag(self) -> str:
        return function_tag(self.function)

    @property
    def is_plain(self) -> bool:
        """Whether it is as most are: a call, and nothing more is to be said of it."""
        return (
            self.delay is None
            and self.budget is None
            and self.deadline is None
            and self.at is None
            and self.dedupe is None
            and self.caching is None
            and not (self.priority or self.key or self.parent_id or self.source)
            and not (self.waiter or self.limit_keys or self.path)
            and self.root_id in ("", self.id)
        )


@define  # not frozen, as above
class Enqueued:
    """The store's answer to one submitted job."""

    id: str
    """The job's own id, or that of the job which already holds the idempotency key."""
    created: bool


@define(kw_only=True, eq=False)  # not frozen: made for every job, and freezing doubles the cost
class Job:
    """One claimed job: everything an attempt needs, and the fence that protects it.

    `delivery` counts how often the job was handed to any worker and never falls, so
    (worker, delivery) names this one delivery for ever. `attempt` counts only the runs that
    were spent: a hand-back, a snooze or a rescue gives its number back.
    """

    id: str
    function: str
    arguments: bytes
    attempt: int
    delivery: int
    priority: int
    created_at: int
    claimed_at: int
    deadline: int | None
    parent_id: str
    root_id: str
    rescues: int
    key: str
    source: bytes
    checkpoint: bytes = b""
    """JSON of the state that an earlier attempt saved; empty when none did."""
    path: str = ""
    """The jobs between its root and itself; see `upnext.model.lineage`."""

    @property
    def held(self) -> Held:
        """The claim on it, as renewals and settlements quote it."""
        return Held(self.function, self.id, self.delivery)


@frozen(kw_only=True)
class JobRecord:
    """What the store knows of a job. Times are Unix milliseconds of the store's clock."""

    id: str
    function: str
    status: JobStatus
    arguments: bytes
    attempt: int
    delivery: int
    priority: int
    created_at: int
    due_at: int | None = None
    claimed_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    deadline: int | None = None
    parent_id: str = ""
    root_id: str = ""
    rescues: int = 0
    key: str = ""
    source: bytes = b""
    worker: str = ""
    result: bytes = b""
    error: bytes = b""
    """JSON of a `Failure`, of the last attempt that failed."""
    reason: str = ""
    """Why it was cancelled, released, snoozed or expired, in words."""
    cancel_requested: bool = False
    progress: float | None = None
    """From 0 to 1, as the job said last; None when it never did."""
    progress_message: str = ""
    checkpoint: bytes = b""
    """JSON of the state it saved last."""
    checkpoint_at: int | None = None
    time_left: int | None = None
    """Milliseconds until its deadline, where a watch found an unfinished job that has one."""
    dedupe: str = ""
    """How it is deduplicated: `<kind>:<key>`; see `upnext.model.dedupe`."""
    replayed_as: str = ""
    """The job that a replay made of this one, when it was a dead letter."""

    @property
    def state(self) -> JobStatus:
        """The status as people are told it: a running job that is cancelled is CANCELLING."""
        if self.status is JobStatus.RUNNING and self.cancel_requested:
            return JobStatus.CANCELLING
        return self.status


@frozen
class Letter:
    """A job that failed for good and is kept aside."""

    record: JobRecord
    at: int
    """When it became one, Unix milliseconds of the store's clock."""


@frozen
class Letters:
    """A page of the dead letters of one function, the latest first."""

    letters: list[Letter]
    more: bool
    """Whether there are older ones behind the last."""
    dropped: int
    """How many were ever dropped because there were too many."""


class ReplayVerdict(StrEnum):
    """What became of a replay."""

    REPLAYED = "replayed"
    REPEATED = "repeated"
    """It was replayed before, as the job that is named."""
    MISSING = "missing"
    """There is no such dead letter."""
    HELD = "held"
    """The job that is named is not over and has its idempotency or rerun key."""
    FULL = "full"
    """The queue is full."""


@frozen
class Replayed:
    """The store's answer to one replay."""

    verdict: ReplayVerdict
    id: str
    """The new job, or the one that stands in its way; else the dead letter's own."""


@frozen(kw_only=True)
class Claimed:
    """The answer to one claim over several functions."""

    jobs: list[Job] = field(factory=list[Job])
    now: int = 0
    """The store's clock, Unix milliseconds."""
    more: list[str] = field(factory=list[str])
    """Functions that filled their share: probably more waits there."""
    later: dict[str, int] = field(factory=dict[str, int])
    """Functions whose rate, or pause, lets more start in so many milliseconds."""


@frozen
class Picked:
    """The answer to a claim of certain jobs."""

    jobs: list[Job]
    now: int
    """The store's clock, Unix milliseconds."""
    looked: int
    """How many of them, in the order given, were looked at before there was no room for more."""
    later: dict[str, int]
    """Those that cannot start yet, and milliseconds after which asking again is of use."""


@define  # not frozen, as Job
class Held:
    """A worker's claim on one job, as renewals and settlements quote it."""

    function: str
    id: str
    delivery: int


@frozen
class Revoked:
    """A held job that is no longer to be run, as a renewal found."""

    id: str
    delivery: int
    lost: bool
    """True: another delivery owns it. False: its cancellation was requested."""
    reason: str = ""


@frozen
class Staged:
    """What a stage call moved, and when the next scheduled job of the function is due."""

    function: str
    moved: int
    next_due_in: int | None
    """Milliseconds from now on the store's clock; None when nothing is scheduled."""


@frozen
class Rescued:
    """What a rescue call found."""

    requeued: list[str]
    buried: list[str]
    """Jobs that were lost with their worker too often and became dead letters."""
    held_back: bool = False
    """The request arrived too late to tell the dead from the living; ask again."""
