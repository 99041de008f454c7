"""`upnext dev`: all that a service needs while it is being written."""

from __future__ import annotations

from upnext.cli.options import AsyncBackend, Concurrency, Flag, LogFormat, Only, RedisUrl, Verbose

EXAMPLES = """Examples:

  upnext dev app.py
  upnext dev app.py --async-backend trio"""

API_TIMEOUT = 1.0
WORKER_TIMEOUT = 2.0
"""Seconds: whoever presses Ctrl+C at a desk waits for both."""


def dev(
    *files: str,
    only: Only = (),
    redis_url: RedisUrl = None,
    async_backend: AsyncBackend = "asyncio",
    uvloop: Flag = False,
    concurrency: Concurrency = None,
    verbose: Verbose = False,
    log_format: LogFormat = "text",
) -> int:
    """Run the workers and APIs in files, and start anew whenever source changes, until Ctrl+C.

    Requests that are open get a second to finish, and jobs that run two, at a change and at
    Ctrl+C; then the jobs go back to the queue. Frontends run in their dev servers. Without a
    broker an embedded one is started, and kept from one start to the next.

    Args:
        files: Python files, or modules such as package.module.
        only: Run the worker or API of this name alone; may be repeated.
        async_backend: The event loop that runs them.
        uvloop: Use uvloop for the asyncio backend (needs upnext[uvloop]).
        concurrency: Jobs that each worker runs at once, instead of what its code says.
        verbose: Log what is of interest to developers only.
        log_format: Lines for people, or one JSON object a line. Logs go to stderr.
    """
    from upnext.cli.logs import configure_logging
    from upnext.cli.serving import Serving, supervise_serving

    serving = Serving(
        files=files,
        only=only,
        redis_url=redis_url,
        async_backend=async_backend,
        uvloop=uvloop,
        concurrency=concurrency,
        worker_timeout=WORKER_TIMEOUT,
        api_timeout=API_TIMEOUT,
        dev=True,
        verbose=verbose,
        log_format=log_format,
    )
    serving.check()
    configure_logging(log_format, verbose)
    return supervise_serving(serving, reload=True, mode="dev")
