"""`upnext run`: run workers until a signal ends them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from upnext.cli.explain import CommandError
from upnext.cli.options import RedisUrl

if TYPE_CHECKING:
    from upnext.worker.worker import Worker

logger = logging.getLogger("upnext.cli")

EXAMPLES = """Examples:

  upnext run app.py
  upnext run app.py reports.py --only reports --concurrency 16
  upnext run shop.jobs --async-backend trio --log-format json"""


def run(
    *files: str,
    only: Annotated[
        tuple[str, ...], Parameter(name=["--only", "-o"], negative="", show_default=False)
    ] = (),
    redis_url: RedisUrl = None,
    async_backend: Literal["asyncio", "trio"] = "asyncio",
    uvloop: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    concurrency: Annotated[int | None, Parameter(name=["--concurrency", "-c"])] = None,
    worker_timeout: float = 30.0,
    verbose: Annotated[
        bool, Parameter(name=["--verbose", "-v"], negative="", show_default=False)
    ] = False,
    log_format: Literal["text", "json"] = "text",
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
        verbose: Log what is of interest to developers only.
        log_format: Lines for people, or one JSON object a line. Logs go to stderr.
    """
    from upnext.cli.logs import configure_logging

    if uvloop:
        _check_uvloop(async_backend)
    if async_backend == "trio":
        _check_trio()
    if concurrency is not None and concurrency < 1:
        raise CommandError(f"--concurrency must be 1 or more, not {concurrency}.")
    if not worker_timeout >= 0:
        raise CommandError(f"--worker-timeout must be 0 or more, not {worker_timeout:g}.")
    configure_logging(log_format, verbose)

    from upnext.cli.loader import choose, load_workers
    from upnext.runner import run as run_workers

    workers = load_workers(files)
    chosen = choose(workers, only)
    brokers = _brokers(chosen, redis_url)
    if concurrency is not None:
        for worker in chosen:
            worker.concurrency = concurrency
    loop = f"{async_backend} (uvloop)" if uvloop else async_backend
    if log_format == "text":
        from upnext.cli.render import open_console, running

        panel = running(chosen, broker=", ".join(brokers), backend=loop)
        open_console(stderr=True).print(panel)
    else:
        for worker in chosen:
            facts = {
                "worker": worker.name,
                "concurrency": worker.concurrency,
                "functions": worker.registry.names,
                "broker": ", ".join(brokers),
                "backend": loop,
            }
            logger.info("worker %s is to run", worker.name, extra=facts)
    return run_workers(
        *workers,
        redis_url=redis_url,
        backend=async_backend,
        use_uvloop=uvloop,
        only=[worker.name for worker in chosen],
        worker_timeout=worker_timeout,
    )


def _brokers(workers: Sequence[Worker], redis_url: str | None) -> list[str]:
    from upnext.cli.broker import parse_address, read_settings

    settings, _ = read_settings()
    urls = dict.fromkeys(redis_url or worker.redis_url or settings.redis_url for worker in workers)
    return [
        parse_address(url).describe()
        if url
        else "embedded Valkey in .upnext/ (set UPNEXT_REDIS_URL to use your own)"
        for url in urls
    ]


def _check_uvloop(backend: str) -> None:
    from importlib.util import find_spec

    if backend != "asyncio":
        raise CommandError(f"--uvloop is for the asyncio backend, not for {backend}.")
    if find_spec("uvloop") is None:
        raise CommandError("--uvloop needs uvloop: pip install 'upnext[uvloop]'.")


def _check_trio() -> None:
    from importlib.util import find_spec

    if find_spec("trio") is None:
        raise CommandError("--async-backend trio needs Trio: pip install 'upnext[trio]'.")
