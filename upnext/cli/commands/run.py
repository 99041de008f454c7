"""`upnext run`: run workers until a signal ends them."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from upnext.cli.explain import CommandError
from upnext.cli.options import AsyncBackend, Concurrency, LogFormat, Only, RedisUrl, Uvloop, Verbose

EXAMPLES = """Examples:

  upnext run app.py
  upnext run app.py reports.py --only reports --concurrency 16
  upnext run shop.jobs --async-backend trio --log-format json
  upnext run app.py --processes 4"""


def run(
    *files: str,
    only: Only = (),
    redis_url: RedisUrl = None,
    async_backend: AsyncBackend = "asyncio",
    uvloop: Uvloop = False,
    concurrency: Concurrency = None,
    worker_timeout: float = 30.0,
    processes: Annotated[int | None, Parameter(show_default=False)] = None,
    reload: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    verbose: Verbose = False,
    log_format: LogFormat = "text",
) -> int:
    """Run the workers in files until SIGTERM or Ctrl+C.

    The first signal lets running jobs finish; a second one hands them back to the queue.

    Args:
        files: Python files, or modules such as package.module.
        only: Run the worker of this name alone; may be repeated.
        async_backend: The event loop that runs the workers.
        uvloop: Use uvloop for the asyncio backend (needs upnext[uvloop]).
        concurrency: Jobs that each worker runs at once, instead of what its code says.
        worker_timeout: Seconds that running jobs get after the first signal.
        processes: Run so many processes, and start those again that die.
        reload: Start anew when source files change; running jobs go back to the queue.
        verbose: Log what is of interest to developers only.
        log_format: Lines for people, or one JSON object a line. Logs go to stderr.
    """
    from upnext.cli.logs import configure_logging
    from upnext.cli.serving import Serving, serve, supervise_serving
    from upnext.supervision.lifeline import Lifeline

    lifeline = Lifeline.inherited()
    serving = Serving(
        files=files,
        only=only,
        redis_url=redis_url,
        async_backend=async_backend,
        uvloop=uvloop,
        concurrency=concurrency,
        worker_timeout=worker_timeout,
        verbose=verbose,
        log_format=log_format,
    )
    serving.check()
    if processes is not None and processes < 1:
        raise CommandError(f"--processes must be 1 or more, not {processes}.")
    configure_logging(log_format, verbose)
    if processes is None and not reload:
        return serve(serving, lifeline)
    return supervise_serving(serving, processes=processes or 1, reload=reload)
