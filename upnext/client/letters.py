"""What is done with dead letters, step by step: plans that do no I/O themselves.

A plan yields a verb of the store with its arguments, and is sent the answer; so async and blocking
callers, and the command line, follow the same ones.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from attrs import field, frozen

from upnext.contracts.codec import decode_failure
from upnext.errors import DeadLetterNotFoundError, JobRefusedError, QueueFullError
from upnext.model.identity import function_tag, new_job_id, tag_of
from upnext.model.job import JobRecord, Letter, Letters, Replayed, ReplayVerdict
from upnext.model.status import FailureReason
from upnext.store.dead import MOST_PER_CALL

R = TypeVar("R")

Plan = Generator[tuple[str, tuple[Any, ...]], Any, R]


@frozen(kw_only=True)
class DeadLetter:
    """A job that failed for good and is kept aside, with all of its data. Times are in UTC."""

    job_id: str
    function: str
    arguments: Any
    """As JSON has them, by parameter."""
    reason: FailureReason
    error: str
    """The error's type and message, or how many workers it killed."""
    error_type: str = ""
    """Qualified name of the class of what the function raised."""
    traceback: str = ""
    attempts: int = 0
    lost_workers: int = 0
    """How many workers in a row were lost with it."""
    submitted_at: datetime
    dead_at: datetime
    key: str = ""
    """The idempotency key it was submitted with, or ''."""
    parent_id: str = ""
    root_id: str = ""
    record: JobRecord = field(repr=False)
    """Everything the queue knows of it."""


@frozen(kw_only=True)
class DeadLetterPage:
    """Some dead letters: by function, and the latest first."""

    letters: list[DeadLetter]
    cursor: str | None
    """Where the next page begins; None at the end."""
    dropped: int
    """How many of these functions were ever dropped, because there were too many
    (UPNEXT_QUEUE_DLQ_STREAM_MAXLEN)."""


@frozen(kw_only=True)
class ReplayCount:
    """What became of many replays."""

    replayed: int = 0
    held: int = 0
    """They are dead letters still: a job that is not over has their key."""


@frozen(kw_only=True)
class Chosen:
    """Which dead letters are meant. All conditions must hold; None holds for all."""

    function: str | None = None
    reason: str | None = None
    """A `FailureReason`, or a text that is in the error."""
    since: int | None = None
    """Unix milliseconds."""
    until: int | None = None

    @classmethod
    def of(
        cls,
        function: str | None,
        reason: str | None,
        since: datetime | None,
        until: datetime | None,
    ) -> Chosen:
        """As users say it.

        Raises:
            ValueError: a time has no time zone.
        """
        return cls(
            function=function,
            reason=None if reason is None else str(reason),
            since=_moment(since, "since"),
            until=_moment(until, "until"),
        )

    def holds(self, letter: DeadLetter) -> bool:
        """Whether this one is meant, by its reason; the store looks at the rest."""
        wanted = self.reason
        if wanted is None:
            return True
        if wanted in set(FailureReason):
            return letter.reason == wanted
        return wanted.lower() in letter.error.lower()


def listing(chosen: Chosen, limit: int, cursor: str | None) -> Plan[DeadLetterPage]:
    """A page of those that are meant.

    Raises:
        ValueError: the limit is less than 1, or the cursor is not one.
    """
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, not {limit!r}")
    behind = None if cursor is None else _place(cursor)
    found: list[DeadLetter] = []
    names = yield from _names(chosen)
    if behind is not None:
        tags = [function_tag(name) for name in names]
        tag = tag_of(behind[1])
        names = names[tags.index(tag) :] if tag in tags else []
    walk = _Walk(chosen, names, behind)
    while step := walk.step():
        _, letters = walk.take((yield step))
        for letter in letters:
            told = told_of(letter)
            if chosen.holds(told):
                found.append(told)
            if len(found) == limit:
                last = f"{letter.at}:{letter.record.id}"
                return DeadLetterPage(letters=found, cursor=last, dropped=walk.dropped)
    return DeadLetterPage(letters=found, cursor=None, dropped=walk.dropped)


def getting(job_id: str) -> Plan[DeadLetter]:
    """One of them.

    Raises:
        DeadLetterNotFoundError: it is none.
        ValueError: this is not a job id.
    """
    record: JobRecord | None = yield "lookup", (job_id,)
    if record is not None and record.finished_at is not None and not record.replayed_as:
        at = record.finished_at
        # Just behind what would come before it, if it were there.
        place = (at, f"{job_id}!")
        letters: Letters = yield "dead_letters", (record.function, 1, at, None, place)
        for letter in letters.letters:
            if letter.record.id == job_id:
                return told_of(letter)
    raise DeadLetterNotFoundError(job_id)


def replaying(job_id: str) -> Plan[str]:
    """Replay one; the answer is the new job's id, also when it was replayed before.

    Raises:
        DeadLetterNotFoundError: it is none.
        JobRefusedError: a job that is not over has its key; QueueFullError: the queue is full.
        ValueError: this is not a job id.
    """
    record: JobRecord | None = yield "lookup", (job_id,)
    if record is None:
        raise DeadLetterNotFoundError(job_id)
    pairs = [(job_id, new_job_id(tag_of(job_id)))]
    answers: list[Replayed] = yield "replay", (record.function, pairs)
    answer = answers[0]
    match answer.verdict:
        case ReplayVerdict.MISSING:
            raise DeadLetterNotFoundError(job_id)
        case ReplayVerdict.HELD:
            raise JobRefusedError(job_id, f"{answer.id} has its key and is not over")
        case ReplayVerdict.FULL:
            raise QueueFullError(job_id)
        case ReplayVerdict.REPLAYED | ReplayVerdict.REPEATED:
            return answer.id


def replaying_all(chosen: Chosen) -> Plan[ReplayCount]:
    """Replay those that are meant, and none that dies again meanwhile.

    Raises:
        QueueFullError: the queue is full; a note says how many were replayed.
    """
    replayed = held = 0
    walk = _Walk(chosen, (yield from _names(chosen)))
    while step := walk.step():
        name, letters = walk.take((yield step))
        ids = _meant(chosen, letters)
        if not ids:
            continue
        pairs = [(job_id, new_job_id(function_tag(name))) for job_id in ids]
        answers: list[Replayed] = yield "replay", (name, pairs)
        verdicts = [answer.verdict for answer in answers]
        replayed += verdicts.count(ReplayVerdict.REPLAYED)
        held += verdicts.count(ReplayVerdict.HELD)
        if ReplayVerdict.FULL in verdicts:
            full = QueueFullError(ids[verdicts.index(ReplayVerdict.FULL)])
            full.add_note(f"{replayed} dead letters were replayed before")
            raise full
    return ReplayCount(replayed=replayed, held=held)


def purging(job_id: str) -> Plan[bool]:
    """Delete one, with its record; whether it was there."""
    record: JobRecord | None = yield "lookup", (job_id,)
    if record is None:
        return False
    purged: int = yield "purge", (record.function, [job_id])
    return purged == 1


def purging_all(chosen: Chosen) -> Plan[int]:
    """Delete those that are meant; the answer counts them."""
    purged = 0
    walk = _Walk(chosen, (yield from _names(chosen)))
    while step := walk.step():
        name, letters = walk.take((yield step))
        if ids := _meant(chosen, letters):
            purged += yield "purge", (name, ids)
    return purged


def told_of(letter: Letter) -> DeadLetter:
    """A letter as users see it."""
    record, failure = letter.record, decode_failure(letter.record.error)
    said = "" if failure is None else ": ".join(x for x in (failure.type, failure.message) if x)
    return DeadLetter(
        job_id=record.id,
        function=record.function,
        arguments=orjson.loads(record.arguments) if record.arguments else None,
        reason=FailureReason.UNKNOWN if failure is None else failure.reason,
        error=said or record.reason,
        error_type="" if failure is None else failure.type,
        traceback="" if failure is None else failure.traceback,
        attempts=record.attempt,
        lost_workers=record.rescues,
        submitted_at=datetime.fromtimestamp(record.created_at / 1000, UTC),
        dead_at=datetime.fromtimestamp(letter.at / 1000, UTC),
        key=record.key,
        parent_id=record.parent_id,
        root_id=record.root_id,
        record=record,
    )


class _Walk:
    """The pages of some functions, one after another.

    Attributes:
        dropped: How many letters of the functions seen so far were ever dropped.
    """

    def __init__(
        self, chosen: Chosen, names: list[str], behind: tuple[int, str] | None = None
    ) -> None:
        self._chosen = chosen
        self._names = names
        self._behind = behind
        self._begun = False
        self.dropped = 0

    def step(self) -> tuple[str, tuple[Any, ...]] | None:
        """What to ask the store next; None at the end."""
        if not self._names:
            return None
        chosen = self._chosen
        return "dead_letters", (
            self._names[0],
            MOST_PER_CALL,
            chosen.since,
            chosen.until,
            self._behind,
        )

    def take(self, page: Letters) -> tuple[str, list[Letter]]:
        """The answer: the function's name, and its letters."""
        name = self._names[0]
        if not self._begun:
            self.dropped += page.dropped
        self._begun = page.more
        if page.more:
            last = page.letters[-1]
            self._behind = (last.at, last.record.id)
        else:
            self._behind, self._names = None, self._names[1:]
        return name, page.letters


def _names(chosen: Chosen) -> Plan[list[str]]:
    if chosen.function is not None:
        return [chosen.function]
    names: list[str] = yield "functions", ()
    return sorted(names)


def _meant(chosen: Chosen, letters: list[Letter]) -> list[str]:
    return [one.record.id for one in letters if chosen.holds(told_of(one))]


def _place(cursor: str) -> tuple[int, str]:
    at, _, job_id = cursor.partition(":")
    try:
        tag_of(job_id)
        return int(at), job_id
    except ValueError:
        raise ValueError(f"{cursor!r} is not the cursor of a page of dead letters") from None


def _moment(value: datetime | None, what: str) -> int | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError(f"{what}={value!r} has no time zone: pass an aware datetime")
    return round(value.timestamp() * 1000)
