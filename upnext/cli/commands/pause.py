"""`upnext pause` and `upnext resume`: stop and start the claiming of jobs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from upnext.cli.explain import FAILURE, CommandError
from upnext.cli.options import RedisUrl

if TYPE_CHECKING:
    from upnext.cli.broker import Broker

EXAMPLES = """Examples:

  upnext pause send_mail
  upnext pause send_mail resize --until 10m
  upnext pause --worker mail --until 2026-03-01T06:00:00+01:00
  upnext pause --all"""
RESUME_EXAMPLES = """Examples:

  upnext resume send_mail
  upnext resume --all"""

Functions = Annotated[str, Parameter(help="Names of tasks.")]
OfWorker = Annotated[
    str | None,
    Parameter(
        name="--worker", help="All tasks of the live workers with this name.", show_default=False
    ),
]
Everything = Annotated[
    bool,
    Parameter(name="--all", negative="", help="Every task of the workspace.", show_default=False),
]


def pause(
    *functions: Functions,
    worker: OfWorker = None,
    everything: Everything = False,
    until: Annotated[str | None, Parameter(show_default=False)] = None,
    redis_url: RedisUrl = None,
) -> None:
    """Start no more jobs of tasks; they go on to be accepted and wait.

    Without any name: show what is paused.

    Args:
        until: When it ends by itself: a time from now such as 90s, 10m, 2h or 1d, or a moment with
            a time zone. Default: when it is resumed.
    """
    from upnext.cli.broker import open_broker
    from upnext.cli.render import moment

    at, delay = _end(until)
    with open_broker(redis_url) as broker:
        if not functions and worker is None and not everything:
            if until is not None:
                raise CommandError("Say what to pause: names of tasks, --worker NAME, or --all.")
            lines = [_said(name, end) for name, end in sorted(broker.paused().items())]
            sys.stdout.write("".join(f"{line}\n" for line in lines) or "Nothing is paused.\n")
            return
        names = _names(broker, functions, worker, everything)
        end = broker.pause(names, at, delay)
    what = "Everything" if names is None else ", ".join(names)
    sys.stdout.write(f"{what}: paused until {moment(end) or 'resumed'}.\n")


def resume(
    *functions: Functions,
    worker: OfWorker = None,
    everything: Everything = False,
    redis_url: RedisUrl = None,
) -> None:
    """Start jobs of paused tasks again."""
    from upnext.cli.broker import open_broker

    with open_broker(redis_url) as broker:
        if not functions and worker is None and not everything:
            raise CommandError("Say what to resume: names of tasks, --worker NAME, or --all.")
        count = broker.resume(_names(broker, functions, worker, everything))
    sys.stdout.write(f"{count} task{'' if count == 1 else 's'} resumed.\n")


def _names(
    broker: Broker, functions: tuple[str, ...], worker: str | None, everything: bool
) -> list[str] | None:
    """The tasks that are meant; None: all."""
    if everything:
        return None
    known = set(broker.functions())
    unknown = [name for name in functions if name not in known]
    if unknown:
        there = ", ".join(sorted(known)) or "none"
        raise CommandError(
            f"No worker ever declared {', '.join(unknown)} here. There are: {there}.",
            code=FAILURE,
        )
    names = list(functions)
    if worker is not None:
        alive = [one for one in broker.heartbeats() if one.get("worker_name") == worker]
        if not alive:
            raise CommandError(
                f"No worker named {worker} is alive: name its tasks instead.", code=FAILURE
            )
        names += [name for one in alive for name in one.get("functions", ())]
    return list(dict.fromkeys(names))


def _said(name: str, end: int) -> str:
    from upnext.cli.render import moment
    from upnext.cli.visible import one_line

    return f"{one_line(name)}: paused until {moment(end) or 'resumed'}"


def _end(until: str | None) -> tuple[int | None, int | None]:
    """Unix milliseconds, or milliseconds from now."""
    from datetime import datetime

    if until is None:
        return None, None
    units = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    if until[:-1].isdecimal() and until[-1] in units:
        return None, int(until[:-1]) * units[until[-1]]
    try:
        at = datetime.fromisoformat(until)
    except ValueError:
        raise CommandError(
            f"--until {until} is neither a time from now (90s, 10m, 2h, 1d) nor a moment"
            " (2026-03-01T06:00:00+01:00)."
        ) from None
    if at.tzinfo is None:
        raise CommandError(f"--until {until} has no time zone: add one, as in {until}+00:00.")
    return round(at.timestamp() * 1000), None
