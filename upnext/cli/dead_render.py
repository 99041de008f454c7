"""What `upnext dead` shows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from upnext.cli import render
from upnext.cli.render import plain_table
from upnext.cli.visible import one_line

if TYPE_CHECKING:
    from upnext.client.letters import DeadLetter, DeadLetterPage

LONGEST_ERROR = 100


def page(found: DeadLetterPage) -> RenderableType:
    """A table of dead letters, and how to see more."""
    parts: list[RenderableType] = []
    if found.letters:
        rows = plain_table("job", "task", "dead since", "reason", "error")
        for letter in found.letters:
            error = one_line(letter.error)
            rows.add_row(
                Text(one_line(letter.job_id), style="bold"),
                Text(one_line(letter.function)),
                _moment(letter.dead_at),
                Text(letter.reason.value),
                Text(error if len(error) <= LONGEST_ERROR else error[:LONGEST_ERROR] + "…"),
            )
        parts.append(rows)
    else:
        parts.append(Text("no dead letters"))
    if found.dropped:
        parts.append(
            Text(
                f"Warning: {found.dropped} older ones were dropped, for there were too many"
                " (UPNEXT_QUEUE_DLQ_STREAM_MAXLEN)",
                style="yellow",
            )
        )
    if found.cursor:
        parts.append(Text(f"There may be more: --cursor {found.cursor}", style="dim"))
    return Group(*parts)


def letter(found: DeadLetter) -> RenderableType:
    """One letter with all of its data."""
    since, because = _moment(found.dead_at), found.reason.value
    return render.job(found.record, more={"dead since": since, "dead because": because})


def page_as_json(found: DeadLetterPage) -> dict[str, Any]:
    """What `dead list --json` prints."""
    return {
        "letters": [as_json(letter) for letter in found.letters],
        "cursor": found.cursor,
        "dropped": found.dropped,
    }


def as_json(letter: DeadLetter) -> dict[str, Any]:
    """One letter: times in UTC, arguments as the JSON they are."""
    return {
        "job_id": letter.job_id,
        "function": letter.function,
        "dead_at": _moment(letter.dead_at),
        "reason": letter.reason.value,
        "error": letter.error,
        "attempts": letter.attempts,
        "lost_workers": letter.lost_workers,
        "arguments": letter.arguments,
    }


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
