"""Cancel: one job, or all that is below a job, in all functions."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from attrs import frozen

from upnext.contracts.keys import Keys
from upnext.model.lineage import Member
from upnext.redis.library import Call
from upnext.store.bounds import Bounds

R = TypeVar("R")
Steps = Generator[list[Call], list[Any], R]
"""Rounds of calls: yields the calls of a round, is sent their replies, returns what came of it."""

MOST_PER_ROUND = 500
"""Calls in one write."""


class CancelVerdict(StrEnum):
    """What a cancellation reached."""

    CANCELLED = "cancelled"
    """It waited; now it is over."""
    REQUESTED = "requested"
    """It runs; its worker was told to cancel it."""
    FINISHED = "finished"
    """Too late."""
    MISSING = "missing"
    """There is no such job."""

    @property
    def reached(self) -> bool:
        """Whether the cancellation came in time."""
        return self in (CancelVerdict.CANCELLED, CancelVerdict.REQUESTED)


@frozen
class CancelledTree:
    """What the cancellation of a job and of all below it reached."""

    verdict: CancelVerdict
    """What became of the job itself."""
    below: int
    """Unfinished jobs below it that are cancelled now, or whose workers were told."""

    @property
    def reached(self) -> bool:
        """Whether the cancellation came in time for any of them."""
        return self.verdict.reached or self.below > 0


@frozen
class Head:
    """A job whose tree is to be cancelled, once itself is."""

    id: str
    verdict: CancelVerdict
    root_id: str
    ran: bool
    """A job that never ran has nothing below it."""


def cancel_call(keys: Keys, bounds: Bounds, job_id: str, reason: str) -> Call:
    """Cancel one job.

    Raises:
        ValueError: not a job id.
    """
    return _call(keys, bounds, keys.of_job(job_id), "job", job_id, reason)


def parse_cancelled(reply: bytes) -> CancelVerdict:
    return CancelVerdict(reply.decode())


def heads_calls(keys: Keys, bounds: Bounds, job_ids: Iterable[str], reason: str) -> list[Call]:
    """Cancel jobs, and have them accept no more children: the first step for their trees.

    Raises:
        ValueError: not a job id.
    """
    return [_call(keys, bounds, keys.of_job(i), "head", i, reason) for i in job_ids]


def parse_heads(job_ids: Sequence[str], replies: Sequence[list[Any]]) -> list[Head]:
    return [
        Head(job_id, CancelVerdict(verdict.decode()), root.decode(), bool(ran))
        for job_id, (verdict, root, ran) in zip(job_ids, replies, strict=True)
    ]


def family_functions(replies: Iterable[Iterable[bytes]]) -> list[str]:
    """The functions that may have jobs below other jobs: all that a worker declared, and all that
    another job ever submitted a job of."""
    return sorted({name.decode() for names in replies for name in names})


def below_steps(
    keys: Keys, bounds: Bounds, heads: Sequence[Head], functions: Sequence[str], reason: str
) -> Steps[list[CancelledTree]]:
    """Cancel all that is below jobs, in these functions, a page of each at a time."""
    below = [0] * len(heads)
    todo = [
        (place, name, b"0") for place, head in enumerate(heads) if head.ran for name in functions
    ]
    while todo:
        now, todo = todo[:MOST_PER_ROUND], todo[MOST_PER_ROUND:]
        replies = yield [
            _call(
                keys,
                bounds,
                keys.function(name),
                "tree",
                heads[place].id,
                reason,
                heads[place].root_id,
                cursor,
            )
            for place, name, cursor in now
        ]
        for (place, name, _), (cursor, reached) in zip(now, replies, strict=True):
            below[place] += reached
            if cursor != b"0":
                todo.append((place, name, cursor))
    return [CancelledTree(head.verdict, n) for head, n in zip(heads, below, strict=True)]


def unwind_steps(
    keys: Keys,
    bounds: Bounds,
    member: Member,
    functions: Sequence[str],
    reason: str,
    channel: str,
) -> Steps[list[str]]:
    """Cancel what is below a cancelled job, and list the jobs there that run on.

    Each of those tells the channel of its end. Empty, too, when the job alone was cancelled.
    """
    own = keys.of_job(member.id)
    others = [keys.function(name) for name in functions]
    todo = [("unwind", own, b"0")]
    later = [("spread", prefix, b"0") for prefix in others if prefix != own]
    live: dict[str, None] = {}  # a page may repeat what another one had
    while todo:
        now, todo = todo[:MOST_PER_ROUND], todo[MOST_PER_ROUND:]
        replies = yield [
            _call(
                keys,
                bounds,
                prefix,
                scope,
                member.id,
                reason,
                member.root_id,
                cursor,
                member.path,
                channel,
            )
            for scope, prefix, cursor in now
        ]
        for (scope, prefix, _), (cursor, *ids) in zip(now, replies, strict=True):
            if cursor == b"-":
                return []
            live.update(dict.fromkeys(job_id.decode() for job_id in ids))
            if cursor != b"0":
                todo.append((scope, prefix, cursor))
        todo, later = todo + later, []
    return sorted(live)


def _call(
    keys: Keys,
    bounds: Bounds,
    prefix: str,
    scope: str,
    job_id: str,
    reason: str,
    *more: str | bytes,
) -> Call:
    return Call(
        "cancel",
        (prefix,),
        (
            scope,
            job_id,
            reason,
            keys.worker_channels,
            bounds.events_kept,
            bounds.record_ttl,
            *more,
        ),
    )
