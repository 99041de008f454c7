"""The event stream of a function: every transition of every job, for whoever keeps history.

The script that makes a transition appends its event, so state and history cannot part. An
event's time is that of its stream id: milliseconds of the store's clock. Fields that do not
apply are absent.

    scheduled         accepted, runs later      name arguments due priority deadline key parent
                                                root source
    queued            accepted, or staged       the same when accepted; attempt when staged
    running           claimed                   attempt delivery worker
    retry             failed, tried again       attempt delivery worker started due error
    snooze            put off by itself         attempt delivery worker started due reason
    release           handed back               attempt delivery worker started reason
    rescued           its worker was lost       attempt delivery worker reason
    cancel_requested  its worker was told       attempt worker reason
    complete failed cancelled expired           attempt delivery worker started result error reason
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from attrs import frozen


class EventType(StrEnum):
    """What happened to a job."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRY = "retry"
    SNOOZE = "snooze"
    RELEASE = "release"
    RESCUED = "rescued"
    CANCEL_REQUESTED = "cancel_requested"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@frozen(kw_only=True)
class Event:
    """One transition. Times are Unix milliseconds of the store's clock."""

    id: str
    """The entry's id in the stream; unique in its function, and in order."""
    at: int
    type: EventType
    job_id: str
    attempt: int | None = None
    delivery: int | None = None
    worker: str | None = None
    started_at: int | None = None
    due_at: int | None = None
    deadline: int | None = None
    priority: int | None = None
    name: str | None = None
    """The function's name."""
    key: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    reason: str | None = None
    arguments: bytes | None = None
    source: bytes | None = None
    result: bytes | None = None
    error: bytes | None = None
    """JSON of a `Failure`."""


def decode_event(entry_id: bytes, fields: Sequence[bytes]) -> Event:
    """Read one entry of an event stream, its fields and values flat.

    Raises:
        ValueError: This is not an event of ours.
    """
    raw = dict(zip(fields[::2], fields[1::2], strict=True))

    def text(name: bytes) -> str | None:
        value = raw.get(name)
        return value.decode(errors="replace") if value else None

    def number(name: bytes) -> int | None:
        value = raw.get(name)
        return int(value) if value else None

    job_id = text(b"id")
    if job_id is None:
        raise ValueError(f"event {entry_id!r} names no job")
    return Event(
        id=entry_id.decode(),
        at=int(entry_id.partition(b"-")[0]),
        type=EventType(text(b"type") or ""),
        job_id=job_id,
        attempt=number(b"attempt"),
        delivery=number(b"delivery"),
        worker=text(b"worker"),
        started_at=number(b"started"),
        due_at=number(b"due"),
        deadline=number(b"deadline"),
        priority=number(b"priority"),
        name=text(b"name"),
        key=text(b"key"),
        parent_id=text(b"parent"),
        root_id=text(b"root"),
        reason=text(b"reason"),
        **_payloads(raw),
    )


def _payloads(raw: Mapping[bytes, bytes]) -> dict[str, bytes]:
    names = ("arguments", "source", "result", "error")
    return {name: value for name in names if (value := raw.get(name.encode()))}
