"""`upnext run`: run workers and APIs until a signal ends them."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from upnext.cli.explain import CommandError
from upnext.cli.options import (
    AsyncBackend,
    Concurrency,
    Flag,
    LogFormat,
    Only,
    RedisUrl,
    Verbose,
)

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
    uvloop: Flag = False,
    concurrency: Concurrency = None,
    worker_timeout: float = 30.0,
    api_timeout: float = 10.0,
    processes: Annotated[int | None, Parameter(show_default=False)] = None,
    reload: Flag = False,
    dev: Flag = False,
    skip_build: Flag = False,
    verbose: Verbose = False,
    log_format: LogFormat = "text",
) -> int:
    """Run the workers and APIs in files until SIGTERM or Ctrl+C.

    The first signal lets open requests and then running jobs finish; a second one cancels the
    requests and hands the jobs back to the queue.

    Args:
        files: Python files, or modules such as package.module.
        only: Run the worker or API of this name alone; may be repeated.
        async_backend: The event loop that runs them.
        uvloop: Use uvloop for the asyncio backend (needs upnext[uvloop]).
        concurrency: Jobs that each worker runs at once, instead of what its code says.
        worker_timeout: Seconds that running jobs get after the first signal.
        api_timeout: Seconds that open requests get before that.
        processes: Run so many processes, and start those again that die.
        reload: Start anew when source files change; running jobs go back to the queue.
        dev: Serve frontends by their dev servers instead of building them.
        skip_build: Build no frontends, serve what is there.
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
        api_timeout=api_timeout,
        dev=dev,
        skip_build=skip_build,
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
