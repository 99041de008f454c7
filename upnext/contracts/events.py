"""The event stream of a function: every transition of every job, for whoever keeps history.

The script that makes transitions appends their events, so state and history cannot part. One
stream entry holds all events of one script call: a field `at` (Unix milliseconds of the store's
clock), then the events. The entry's id is `<events written so far>-0`, so it says how many events
went before, and a gap shows. An event goes from its field `type` to the next event; fields that do
not apply are absent:

    scheduled         accepted, runs later      name arguments due priority deadline key parent
                                                root source
    queued            accepted, or staged       the same when accepted; attempt when staged
    running           claimed                   attempt delivery worker
    retry             failed, tried again       attempt delivery worker started due error
    snooze            put off by itself         attempt delivery worker started due reason
    release           handed back               attempt delivery worker started reason
    rescued           its worker was lost       attempt delivery worker reason
    cancel_requested  its worker was told       attempt worker reason
    replaced          a later submit's turn     arguments due deadline
    progress          said by the job           attempt delivery worker said progress message
    checkpoint        saved by the job          attempt delivery worker said checkpoint
    log               logged by the job         attempt delivery worker said n line
    complete failed cancelled expired           attempt delivery worker started result error reason
    paused            claims are refused        due
    resumed           claims are served again   reason

The last two are of the function itself: their job id is `-`.

What most jobs go through is told in one field, whose name is the type; its value is

    queued            <id> <arguments>          and the name in the last field `of`, due `at`,
                                                priority 0
    running           <id> <attempt> <delivery> and the worker in the last field `by`
    complete          <id> <attempt> <delivery> <started> <result>, and the same
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
    REPLACED = "replaced"
    PROGRESS = "progress"
    CHECKPOINT = "checkpoint"
    LOG = "log"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    PAUSED = "paused"
    RESUMED = "resumed"


@frozen(kw_only=True)
class Event:
    """One transition. Times are Unix milliseconds of the store's clock."""

    number: int
    """Counts the events of its function from 1; unique there, and in order."""
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
    root_id: str
    reason: str | None = None
    arguments: bytes | None = None
    source: bytes | None = None
    result: bytes | None = None
    error: bytes | None = None
    """JSON of a `Failure`."""
    said_at: int | None = None
    """When the job said it: a little before `at`."""
    progress: float | None = None
    """From 0 to 1."""
    message: str | None = None
    """What it said with its progress."""
    checkpoint: bytes | None = None
    """JSON of the state it saved."""
    line: bytes | None = None
    """JSON of a log line: level, logger, message, and perhaps extra and error."""
    line_number: int | None = None
    """Counts the lines of one run of the job; a gap is what was dropped."""


_SHORT = {
    b"queued": ((b"id", b"arguments"), (b"name", b"due", b"priority")),
    b"running": ((b"id", b"attempt", b"delivery"), (b"worker",)),
    b"complete": ((b"id", b"attempt", b"delivery", b"started", b"result"), (b"worker",)),
}
"""What the value of a short event holds, the last one to its end, and what it has in common."""

_COMMON = {b"of": b"name", b"by": b"worker"}
"""Fields that say what the short events behind them have in common."""


def decode_entry(entry_id: bytes, fields: Sequence[bytes]) -> list[Event]:
    """Read one entry of an event stream, its fields and values flat: the events of one call.

    Raises:
        ValueError: This is not an entry of ours.
    """
    at, events = split_entry(fields)
    first = int(entry_id.partition(b"-")[0]) - len(events) + 1
    return [_event(first + i, at, raw) for i, raw in enumerate(events)]


def split_entry(fields: Sequence[bytes]) -> tuple[int, list[dict[bytes, bytes]]]:
    """The time of an entry, and the fields of each of its events.

    Raises:
        ValueError: This is not an entry of ours.
    """
    at, events = 0, list[dict[bytes, bytes]]()
    common = {b"priority": b"0"}
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name == b"type":
            events.append({name: value})
        elif name in _SHORT:
            events.append(_lengthened(name, value, common))
        elif name in _COMMON:
            common[_COMMON[name]] = value
        elif events:
            if value:
                events[-1][name] = value
        elif name == b"at":
            at, common[b"due"] = int(value), value
        else:
            raise ValueError(f"an event must begin with its type, not with {name!r}")
    return at, events


def _lengthened(kind: bytes, value: bytes, common: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    own, shared = _SHORT[kind]
    words = zip(own, value.split(b" ", len(own) - 1), strict=True)
    event = {b"type": kind, **dict(words), **{name: common.get(name, b"") for name in shared}}
    return {name: value for name, value in event.items() if value}


def _event(number: int, at: int, raw: Mapping[bytes, bytes]) -> Event:
    def text(name: bytes) -> str | None:
        value = raw.get(name)
        return value.decode(errors="replace") if value else None

    def integer(name: bytes) -> int | None:
        value = raw.get(name)
        return int(value) if value else None

    job_id = text(b"id")
    if job_id is None:
        raise ValueError(f"event {number} names no job")
    return Event(
        number=number,
        at=at,
        type=EventType(text(b"type") or ""),
        job_id=job_id,
        attempt=integer(b"attempt"),
        delivery=integer(b"delivery"),
        worker=text(b"worker"),
        started_at=integer(b"started"),
        due_at=integer(b"due"),
        deadline=integer(b"deadline"),
        priority=integer(b"priority"),
        name=text(b"name"),
        key=text(b"key"),
        parent_id=text(b"parent"),
        root_id=text(b"root") or job_id,
        reason=text(b"reason"),
        said_at=integer(b"said"),
        progress=float(raw[b"progress"]) if b"progress" in raw else None,
        message=text(b"message"),
        line_number=integer(b"n"),
        **_payloads(raw),
    )


def _payloads(raw: Mapping[bytes, bytes]) -> dict[str, bytes]:
    names = ("arguments", "source", "result", "error", "checkpoint", "line")
    return {name: value for name in names if (value := raw.get(name.encode()))}
