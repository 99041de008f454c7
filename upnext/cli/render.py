"""What commands show: panels and tables. Text that users wrote is escaped on its way in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from upnext.cli.reports import progress_of, started_of
from upnext.cli.visible import one_line, visible, within_json
from upnext.contracts.handlers import decode_handler, event_of
from upnext.model.event import EventsView
from upnext.model.job import JobRecord
from upnext.model.status import JobStatus

if TYPE_CHECKING:
    from upnext.cli.diagnosis import Diagnosis

WIDTH_OF_A_FILE = 160
"""Columns where nobody says how many there are: wide enough for a job id beside its label."""

SHOWN = 20
"""Jobs below a cancelled one that are listed by their ids."""

_COLOURS = {
    JobStatus.SCHEDULED: "cyan",
    JobStatus.QUEUED: "cyan",
    JobStatus.RUNNING: "blue",
    JobStatus.CANCELLING: "yellow",
    JobStatus.COMPLETE: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "yellow",
    JobStatus.EXPIRED: "yellow",
}


def open_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: no markup, no emoji codes, no guessed highlights.

    Colours are left out where there is no terminal or NO_COLOR is set.
    """
    stream = sys.stderr if stderr else sys.stdout
    unknown_width = not stream.isatty() and not os.environ.get("COLUMNS")
    return Console(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        width=WIDTH_OF_A_FILE if unknown_width else None,
    )


def events(view: EventsView) -> RenderableType:
    """The answer of `upnext events`."""
    since = f", the first since {moment(view.oldest)}" if view.waiting else ""
    parts: list[RenderableType] = [facts_table({"waiting": f"{view.waiting} to be routed{since}"})]
    if view.handlers:
        table = plain_table("handler", "listens to")
        for function, pattern in _listening(view).items():
            table.add_row(named(function), safe(pattern or "what cannot be read"))
        parts += [Text(), table]
    else:
        parts.append(Text("No handler of any event is known.", style="yellow"))
    if view.unhandled:
        table = plain_table("sent", "nobody handled", "data", "id")
        for event in view.unhandled:
            data = safe(event.data.decode(errors="replace"))
            data.truncate(60, overflow="ellipsis")
            table.add_row(moment(event.sent_at), safe(event.name), data, safe(event.id))
        parts += [Text(), table]
    return Group(*parts)


def events_as_json(view: EventsView) -> dict[str, Any]:
    """What `events --json` prints."""
    return {
        "waiting": view.waiting,
        "oldest": moment(view.oldest),
        "handlers": [
            {"name": function, "pattern": pattern} for function, pattern in _listening(view).items()
        ],
        "unhandled": [
            {
                "id": event.id,
                "event": event.name,
                "sent_at": moment(event.sent_at),
                "parent_id": event.parent_id or None,
                "data": read_json(event.data),
            }
            for event in view.unhandled
        ],
    }


def _listening(view: EventsView) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for function, record in sorted(view.handlers.items()):
        pattern = decode_handler(record)
        found[function] = None if pattern is None else pattern.text
    return found


def job(
    record: JobRecord, below: Sequence[str] = (), *, more: Mapping[str, str | None] | None = None
) -> RenderableType:
    """Everything known of one job.

    Args:
        record: What the queue has of it.
        below: The jobs that a cancelled one waits for.
        more: Other facts, by their names, which come last.
    """
    started = started_of(record)
    facts = {
        "job": record.id,
        "function": record.function,
        "status": Text(record.state.value, style=_COLOURS[record.state]),
        "attempt": str(record.attempt) if record.attempt else None,
        "priority": str(record.priority) if record.priority else None,
        "submitted": moment(record.created_at),
        "due": moment(record.due_at) if record.due_at != record.created_at else None,
        "deadline": moment(record.deadline),
        "claimed": None if started else moment(record.claimed_at),
        "started": moment(started),
        "progress": progress_of(record),
        "finished": moment(record.finished_at),
        "took": _took(record),
        "worker": record.worker,
        "lost workers": str(record.rescues) if record.rescues else None,
        "parent": record.parent_id,
        "root": record.root_id if record.root_id != record.id else None,
        "key": record.key,
        "cancel": "requested" if record.cancel_requested else None,
        "reason": record.reason,
        "event": event_of(record.source),
        "waits for": _some(below),
        **(more or {}),
    }
    parts: list[RenderableType] = [facts_table(facts), *_block("arguments", record.arguments)]
    if record.checkpoint and not record.status.is_terminal():
        parts += _block(f"checkpoint of {moment(record.checkpoint_at)}", record.checkpoint)
    if record.status is JobStatus.COMPLETE:
        parts += _block("result", record.result or b"null")
    if record.error:
        parts += _error(record.error)
    return Group(*parts)


def as_json(
    record: JobRecord, below: Sequence[str] = (), *, served: bool | None = None
) -> dict[str, Any]:
    """What `status --json` prints: times in UTC, payloads as the JSON they are.

    Args:
        record: What the queue has of the job.
        below: The jobs that a cancelled one waits for.
        served: Whether a living worker runs its function; None: nobody looked.
    """
    return {
        "id": record.id,
        "function": record.function,
        "status": record.state.value,
        "attempt": record.attempt,
        "delivery": record.delivery,
        "priority": record.priority,
        "created_at": moment(record.created_at),
        "due_at": moment(record.due_at),
        "claimed_at": moment(record.claimed_at),
        "started_at": moment(started_of(record)),
        "finished_at": moment(record.finished_at),
        "deadline": moment(record.deadline),
        "parent_id": record.parent_id or None,
        "root_id": record.root_id or None,
        "key": record.key or None,
        "worker": record.worker or None,
        "rescues": record.rescues,
        "cancel_requested": record.cancel_requested,
        "reason": record.reason or None,
        "waits_for": list(below),
        "served": served,
        "progress": record.progress,
        "progress_message": record.progress_message or None,
        "checkpoint": read_json(record.checkpoint),
        "checkpoint_at": moment(record.checkpoint_at),
        "source": read_json(record.source),
        "arguments": read_json(record.arguments),
        "result": read_json(record.result),
        "error": read_json(record.error),
    }


def diagnosis(found: Diagnosis) -> RenderableType:
    """The answer of `upnext health`."""
    facts = {
        "broker": f"{found.broker} ({found.server}) answers in {found.round_trip:.2f} ms",
        "workers": f"{len(found.workers)} alive" if found.workers else "none is alive",
    }
    parts: list[RenderableType] = [facts_table(facts)]
    if found.workers:
        table = plain_table("worker", "process", "active", "processed", "heartbeat", "state")
        for worker in found.workers:
            state = ("can claim", "green") if worker.healthy else ("cannot claim", "red")
            table.add_row(
                named(worker.name),
                safe(worker.place),
                f"{worker.active} of {worker.concurrency}",
                str(worker.processed),
                f"{worker.age:.0f} s ago",
                Text(state[0], style=state[1]),
            )
        parts += [Text(), table]
    for name, count in found.unserved.items():
        jobs = "1 job waits" if count == 1 else f"{count} jobs wait"
        line = f"{one_line(name)}: {jobs}, but no worker that is alive runs it."
        parts.append(Text(f"Warning: {line}", style="yellow"))
    parts += [Text(f"Warning: {warning}", style="yellow") for warning in found.warnings]
    return Group(*parts)


def print_json(value: Any) -> None:
    """Print one JSON document to stdout."""
    sys.stdout.write(within_json(_dump(value)) + "\n")


def read_json(payload: bytes) -> Any:
    """The value of a stored payload; its text where it is not JSON, None where there is none."""
    if not payload:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")


def moment(milliseconds: int | None) -> str | None:
    """A Unix time in milliseconds as ISO 8601 in UTC."""
    if not milliseconds:
        return None
    try:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # a deadline beyond the year 9999
        return f"{milliseconds} ms"
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _some(job_ids: Sequence[str]) -> Text:
    lines = [one_line(job_id) for job_id in job_ids[:SHOWN]]
    if more := len(job_ids) - len(lines):
        lines.append(f"and {more} more")
    return Text("\n".join(lines))


def _took(record: JobRecord) -> str | None:
    if record.started_at is None or record.finished_at is None:
        return None
    return f"{record.finished_at - record.started_at} ms"


def _error(payload: bytes) -> list[RenderableType]:
    failure = read_json(payload)
    if not isinstance(failure, dict):
        return _block("error", payload)
    told = cast("dict[str, Any]", failure)
    headline = f"{told.get('type', 'error')}: {told.get('message', '')}"
    parts: list[RenderableType] = [
        Text("\nerror", style="dim"),
        Text(visible(headline), style="red"),
    ]
    if told.get("traceback"):
        parts.append(Text(visible(str(told["traceback"])).rstrip()))
    return parts


def _block(label: str, payload: bytes) -> list[RenderableType]:
    return [Text(f"\n{label}", style="dim"), Text(visible(_dump(read_json(payload))))]


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:  # indenting nests deeper than reading did
        return json.dumps(value, ensure_ascii=False)


def facts_table(facts: Mapping[str, str | Text | None]) -> Table:
    """Labels and values; what is empty is left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts.items():
        if value:
            grid.add_row(label, value if isinstance(value, Text) else safe(value))
    return grid


def plain_table(*headings: str) -> Table:
    """An empty table with these headings."""
    table = Table(show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def named(name: str) -> Text:
    """A name that stands out."""
    return Text(one_line(name), style="bold")


def safe(text: str) -> Text:
    """Text of others, on one line."""
    return Text(one_line(text))
