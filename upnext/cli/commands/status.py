"""`upnext status`: what is known of one job."""

from __future__ import annotations

from upnext.cli.options import AsJson, JobId, RedisUrl

EXAMPLES = """Examples:

  upnext status add-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f
  upnext status add-01994e8a7c5a7c3f8d3e5b7a9c1d2e4f --json"""


def status(job_id: JobId, /, *, as_json: AsJson = False, redis_url: RedisUrl = None) -> None:
    """Show the state, arguments, and result or error of a job.

    Of a running job that is being cancelled, also which jobs below it are not over yet; of one
    that waits, also whether no living worker runs its function.
    """
    from upnext.cli import render
    from upnext.cli.broker import open_broker
    from upnext.cli.explain import FAILURE, CommandError
    from upnext.errors import JobNotFoundError
    from upnext.model.status import JobStatus

    with open_broker(redis_url) as broker:
        record, below = broker.lookup(job_id), list[str]()
        served: bool | None = None
        if record is not None and record.state is JobStatus.CANCELLING:
            below = broker.unfinished(job_id)
        if record is not None and record.state in (JobStatus.SCHEDULED, JobStatus.QUEUED):
            served = broker.is_served(record.function)
    if record is None:
        raise CommandError(f"{JobNotFoundError(job_id)}.", code=FAILURE)
    if as_json:
        render.print_json(render.as_json(record, below, served=served))
    else:
        nobody = "no worker that is alive runs this function" if served is False else None
        more = {"waits because": nobody}
        render.open_console().print(render.job(record, below, more=more))
