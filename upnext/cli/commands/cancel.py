"""`upnext cancel`: end a job with all that it submitted, or alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from upnext.cli.explain import FAILURE, CommandError
from upnext.cli.options import JobId, RedisUrl

if TYPE_CHECKING:
    from upnext.cli.broker import Broker
    from upnext.store.cancel import CancelVerdict

EXAMPLES = """Examples:

  upnext cancel report-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f --reason "wrong month"
  upnext cancel report-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f --no-tree"""


def cancel(
    job_id: JobId,
    /,
    *,
    reason: Annotated[str, Parameter(show_default=False)] = "cancelled from the command line",
    tree: Annotated[bool, Parameter(show_default=False)] = True,
    redis_url: RedisUrl = None,
) -> None:
    """Cancel a job, and all jobs below it: those it submitted, those they submitted, ...

    A waiting job is over at once; a running one is cancelled by its worker.

    Args:
        reason: Kept with the job and shown to whoever waits for it.
        tree: Cancel the unfinished jobs below it, too, and refuse new ones (the default), or this
            job alone.
    """
    from upnext.cli.broker import open_broker

    with open_broker(redis_url) as broker:
        line = _cancel_tree(broker, job_id, reason) if tree else _cancel(broker, job_id, reason)
    sys.stdout.write(f"{line}\n")


def _cancel(broker: Broker, job_id: str, reason: str) -> str:
    return _told(job_id, broker.cancel(job_id, reason))


def _told(job_id: str, verdict: CancelVerdict) -> str:
    from upnext.store.cancel import CancelVerdict

    match verdict:
        case CancelVerdict.CANCELLED:
            return f"{job_id} is cancelled."
        case CancelVerdict.REQUESTED:
            return f"{job_id} is running: its worker was told to cancel it."
        case CancelVerdict.FINISHED:
            raise CommandError(f"{job_id} had already finished.", code=FAILURE)
        case CancelVerdict.MISSING:
            raise _missing(job_id)


def _cancel_tree(broker: Broker, job_id: str, reason: str) -> str:
    cancelled = broker.cancel_tree(job_id, reason)
    if not cancelled.below:
        return _told(job_id, cancelled.verdict)
    below = f"{cancelled.below} unfinished job{'' if cancelled.below == 1 else 's'} below it"
    if not cancelled.verdict.reached:
        return f"{job_id} had already finished; {below}: cancelled."
    return f"{job_id} and {below}: cancelled."


def _missing(job_id: str) -> CommandError:
    from upnext.errors import JobNotFoundError

    return CommandError(f"{JobNotFoundError(job_id)}.", code=FAILURE)
