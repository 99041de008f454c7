"""Schedule: read and change the schedules of a function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from upnext.contracts.keys import Keys
from upnext.model.schedule import Ordered, OrderVerdict, Schedule, ScheduleOrder, Schedules
from upnext.redis.library import Call


def schedules_call(keys: Keys, function: str) -> Call:
    """Read all schedules of a function."""
    return Call("schedule", (keys.function(function),), ("read",))


def parse_schedules(functions: Sequence[str], replies: Sequence[list[Any]]) -> Schedules:
    """Join the replies of several functions, asked in this order."""
    schedules: list[Schedule] = []
    for function, (_, _, *rows) in zip(functions, replies, strict=True):
        schedules += _rows(function, rows)
    return Schedules(replies[-1][1] if replies else 0, schedules)


def schedule_call(keys: Keys, order: ScheduleOrder) -> Call:
    """Change one schedule."""
    expected = "" if order.revision is None else order.revision
    arguments: tuple[Any, ...] = (order.action, order.name, expected, order.next_at)
    if order.plan is not None:
        arguments = (
            *("put", order.name, expected, order.next_at, order.action),
            *(order.plan.encode(), order.arguments, order.plan.overlap),
            *(order.fingerprint, order.origin),
        )
    return Call("schedule", (keys.function(order.function),), arguments)


def parse_ordered(function: str, reply: list[Any]) -> Ordered:
    """What became of it, and the schedule as it is now."""
    verdict, now, *rows = reply
    schedules = _rows(function, rows)
    return Ordered(OrderVerdict(verdict.decode()), now, schedules[0] if schedules else None)


def parse_schedule(function: str, name: str, row: Sequence[bytes]) -> Schedule:
    """One schedule from its hash, flat."""
    fields = dict(zip(row[::2], row[1::2], strict=True))

    def text(field: bytes) -> str:
        return fields.get(field, b"").decode(errors="replace")

    def number(field: bytes) -> int:
        return int(fields.get(field) or 0)

    return Schedule(
        function=function,
        name=name,
        plan_text=fields.get(b"plan", b""),
        arguments=fields.get(b"arguments", b"{}"),
        origin=text(b"origin"),
        declared=text(b"declared"),
        changed_by=text(b"changed_by"),
        revision=number(b"revision"),
        paused=b"paused" in fields,
        next_at=number(b"next"),
        last_at=number(b"cursor") or None,
        last_job=text(b"last"),
        skipped=number(b"skipped"),
        created_at=number(b"created"),
        changed_at=number(b"changed"),
    )


def _rows(function: str, rows: Sequence[Any]) -> list[Schedule]:
    return [
        parse_schedule(function, name.decode(), row)
        for name, row in zip(rows[::2], rows[1::2], strict=True)
    ]
