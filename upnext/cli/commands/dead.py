"""`upnext dead`: jobs that failed for good and are kept aside."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from upnext.cli.explain import FAILURE, CommandError
from upnext.cli.options import AsJson, JobId, RedisUrl

if TYPE_CHECKING:
    from upnext.client.letters import Chosen, Plan

EXAMPLES = """Examples:

  upnext dead list                            all of them, by task, the latest first
  upnext dead list send --reason worker_lost  those of one task that killed their workers
  upnext dead show send-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f
  upnext dead replay send-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f
  upnext dead replay --all --function send --since 2h
  upnext dead purge --all --until 2026-01-31"""

Function = Annotated[
    str | None, Parameter(help="Of the task with this name only.", show_default=False)
]
Reason = Annotated[
    str | None,
    Parameter(
        help="exception, timeout or worker_lost; or a text that is in the error.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    Parameter(
        help="Not older than this: 30m, 2h, 7d, or a time in ISO 8601 (UTC without a zone).",
        show_default=False,
    ),
]
Until = Annotated[
    str | None, Parameter(help="Not younger than this; as --since.", show_default=False)
]
All = Annotated[
    bool,
    Parameter(
        name="--all", negative="", help="All that the other options leave.", show_default=False
    ),
]
JobIds = Annotated[tuple[str, ...], Parameter(help="As `upnext dead list` shows them.")]

dead = App(
    name="dead",
    help="Look at jobs that failed for good, replay them, or delete them.",
    help_epilogue=EXAMPLES,
    help_format="plaintext",
)

_AGO = re.compile(r"(\d+)\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dead.command(name="list")
def list_(
    function: Function = None,
    /,
    *,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Parameter(help="Most of them.")] = 50,
    cursor: Annotated[
        str | None, Parameter(help="The page behind the one that named this.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
) -> None:
    """List dead letters, by task, the latest first."""
    from upnext.cli import dead_render, render
    from upnext.client.letters import listing

    chosen = _chosen(function, reason, since, until)
    page = _follow(listing(chosen, limit, cursor), redis_url)
    if as_json:
        render.print_json(dead_render.page_as_json(page))
    else:
        render.open_console().print(dead_render.page(page))


@dead.command
def show(job_id: JobId, /, *, as_json: AsJson = False, redis_url: RedisUrl = None) -> None:
    """Show a dead letter with all of its data."""
    from upnext.cli import dead_render, render
    from upnext.client.letters import getting

    letter = _follow(getting(job_id), redis_url)
    if as_json:
        render.print_json(dead_render.as_json(letter) | {"record": render.as_json(letter.record)})
    else:
        render.open_console().print(dead_render.letter(letter))


@dead.command
def replay(
    *job_ids: str,
    every: All = False,
    function: Function = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
) -> None:
    """Make new jobs of dead letters, with the same arguments and all attempts before them.

    A job that is replayed is no dead letter any more; replayed again, it names the same new job.
    """
    from upnext.cli import render
    from upnext.client.letters import replaying, replaying_all

    chosen = _chosen(function, reason, since, until)
    _check(job_ids, every, chosen)
    if every:
        count = _follow(replaying_all(chosen), redis_url)
        if as_json:
            render.print_json({"replayed": count.replayed, "held": count.held})
            return
        held = f", {count.held} not: jobs that are not over have their keys" if count.held else ""
        sys.stdout.write(f"{count.replayed} replayed{held}.\n")
        return
    made = {job_id: _follow(replaying(job_id), redis_url) for job_id in job_ids}
    if as_json:
        render.print_json({"replayed": made})
        return
    for job_id, new_id in made.items():
        sys.stdout.write(f"{job_id} is replayed as {new_id}.\n")


@dead.command
def purge(
    *job_ids: str,
    every: All = False,
    function: Function = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    redis_url: RedisUrl = None,
) -> int:
    """Delete dead letters, with their records, for good."""
    from upnext.cli import render
    from upnext.client.letters import purging, purging_all

    chosen = _chosen(function, reason, since, until)
    _check(job_ids, every, chosen)
    if every:
        purged = _follow(purging_all(chosen), redis_url)
    else:
        purged = sum(_follow(purging(job_id), redis_url) for job_id in job_ids)
    if as_json:
        render.print_json({"purged": purged})
    else:
        sys.stdout.write(f"{purged} deleted.\n")
    return FAILURE if purged < len(job_ids) else 0


def _follow(plan: Plan[Any], redis_url: str | None) -> Any:
    from upnext.cli.broker import open_broker
    from upnext.client.dead_letters import follow_blocking
    from upnext.errors import DeadLetterNotFoundError, JobRefusedError

    try:
        with open_broker(redis_url) as broker:
            return follow_blocking(plan, broker.store())
    except (DeadLetterNotFoundError, JobRefusedError) as error:
        raise CommandError(f"{error}.", code=FAILURE) from None
    except ValueError as error:
        raise CommandError(f"{error}.") from None


def _chosen(
    function: str | None, reason: str | None, since: str | None, until: str | None
) -> Chosen:
    from upnext.client.letters import Chosen

    return Chosen.of(function, reason, _time(since, "--since"), _time(until, "--until"))


def _check(job_ids: tuple[str, ...], every: bool, chosen: Chosen) -> None:
    from upnext.client.letters import Chosen

    if every == bool(job_ids):
        raise CommandError("Name job ids, or say --all (with --function, --reason, --since…).")
    if job_ids and chosen != Chosen():
        raise CommandError("--function, --reason, --since and --until go with --all.")


def _time(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    now = datetime.now(UTC)
    if ago := _AGO.fullmatch(text.strip()):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CommandError(
            f"{option} {text!r} must be such as 30m, 2h or 7d, or a time in ISO 8601."
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
