"""`upnext cancel`: end one job, or one with all that it submitted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from upnext.cli.explain import FAILURE, CommandError
from upnext.cli.options import JobId, RedisUrl

if TYPE_CHECKING:
    from upnext.cli.broker import Broker

EXAMPLES = """Examples:

  upnext cancel report-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f --reason "wrong month"
  upnext cancel report-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f --tree"""


def cancel(
    job_id: JobId,
    /,
    *,
    reason: Annotated[str, Parameter(show_default=False)] = "cancelled from the command line",
    tree: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    redis_url: RedisUrl = None,
) -> None:
    """Cancel a job.

    A waiting job is over at once; a running one is cancelled by its worker.

    Args:
        reason: Kept with the job and shown to whoever waits for it.
        tree: Cancel every unfinished job below it, too, and refuse new ones.
    """
    from upnext.cli.broker import open_broker

    with open_broker(redis_url) as broker:
        line = _cancel_tree(broker, job_id, reason) if tree else _cancel(broker, job_id, reason)
    sys.stdout.write(f"{line}\n")


def _cancel(broker: Broker, job_id: str, reason: str) -> str:
    from upnext.store.cancel import CancelVerdict

    match broker.cancel(job_id, reason):
        case CancelVerdict.CANCELLED:
            return f"{job_id} is cancelled."
        case CancelVerdict.REQUESTED:
            return f"{job_id} is running: its worker was told to cancel it."
        case CancelVerdict.FINISHED:
            raise CommandError(f"{job_id} had already finished.", code=FAILURE)
        case CancelVerdict.MISSING:
            raise _missing(job_id)


def _cancel_tree(broker: Broker, job_id: str, reason: str) -> str:
    record = broker.lookup(job_id)
    if record is None:
        raise _missing(job_id)
    if record.root_id not in ("", job_id):
        raise CommandError(
            f"{job_id} is not the first job of its tree: cancel the tree from {record.root_id},"
            " or this job alone without --tree."
        )
    # The root first: it then submits no more, and what it did submit is there to be found. That
    # it has finished already is no reason to stop.
    broker.cancel(job_id, reason)
    below = broker.cancel_tree(job_id, reason)
    return f"{job_id} and {below} unfinished job{'' if below == 1 else 's'} below it: cancelled."


def _missing(job_id: str) -> CommandError:
    from upnext.errors import JobNotFoundError

    return CommandError(f"{JobNotFoundError(job_id)}.", code=FAILURE)
