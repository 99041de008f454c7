"""What a user declares: a worker and its tasks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from inspect import isasyncgenfunction
from typing import Any, TypeVar, cast

from upnext.client.cron_declarations import CronDeclarations
from upnext.errors import ConfigurationError
from upnext.model.checks import check_count, check_kind
from upnext.settings import Settings
from upnext.tasks.middleware import Middleware, check_middleware
from upnext.tasks.packages import import_package, package_names
from upnext.worker.queue_config import SyncExecutor, WorkerQueueConfig

__all__ = ["Lifespan", "Worker"]

M = TypeVar("M", bound=Middleware)

Lifespan = Callable[["Worker"], AsyncIterator[Any] | AbstractAsyncContextManager[Any]]
"""What is open while a worker runs; it yields what jobs see as `ctx.state`."""


class Worker(CronDeclarations):
    """A named set of tasks, and how a process that serves them runs.

    Declaring one does nothing yet: `upnext.run(worker)` or `upnext run FILE` runs it, and any
    process that imports a task may submit to it.

    Args:
        name: For logs and the dashboard; by default `worker-` and eight random hex digits.
        concurrency: Jobs that run at once. A job that waits for another one does not count.
        sync_executor: Where sync functions run.
        redis_url: The broker; by default UPNEXT_REDIS_URL, else an embedded Valkey.
        queue_config: Overrides of the UPNEXT_QUEUE_* settings.
        max_waiting: Jobs that may wait for other jobs at once, besides those that run.
        lifespan: An async generator function that takes the worker and yields once, or such a
            function behind `@asynccontextmanager`. What stands before the `yield` is done before
            the first job is claimed, what stands behind it after the last one is settled, within
            10 seconds. What it yields is every job's `ctx.state`.
        autodiscover_packages: Names of packages that hold tasks of this worker. They are imported
            when the worker is about to run, not here: they may import the module this is in.
        capture_logs: Whether what jobs log with the logging module goes to their own logs, too.

    Raises:
        ConfigurationError: a value cannot be used; one line says which and why.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        concurrency: int = 2,
        sync_executor: SyncExecutor = SyncExecutor.THREAD,
        redis_url: str | None = None,
        queue_config: WorkerQueueConfig | None = None,
        max_waiting: int = 1000,
        lifespan: Lifespan | None = None,
        autodiscover_packages: Sequence[str] = (),
        capture_logs: bool = True,
    ) -> None:
        check_count("concurrency", concurrency, least=1)
        check_count("max_waiting", max_waiting, least=0)
        check_kind("name", name, str | None, "a text")
        # Not shown: there may be a password in it.
        check_kind("redis_url", redis_url, str | None, "a text such as redis://host:6379", "this")
        check_kind("queue_config", queue_config, WorkerQueueConfig | None, "a WorkerQueueConfig")
        check_kind("capture_logs", capture_logs, bool, "True or False")
        if sync_executor not in tuple(SyncExecutor):
            words = " or ".join(repr(each.value) for each in SyncExecutor)
            raise ConfigurationError(f"sync_executor must be {words}, not {sync_executor!r}")
        name = f"worker-{os.urandom(4).hex()}" if name is None else name.strip()
        if not name:
            raise ConfigurationError("a worker's name must not be empty")
        super().__init__()
        self.redis_url = redis_url
        self.name = name
        self.concurrency = concurrency
        self.sync_executor = SyncExecutor(sync_executor)
        self.queue_config = queue_config or WorkerQueueConfig()
        self.max_waiting = max_waiting
        self.capture_logs = capture_logs
        self.lifespan = None if lifespan is None else as_context_manager(lifespan)
        self.middlewares: list[Middleware] = []
        self._undiscovered = package_names(autodiscover_packages)

    @property
    def resolved_redis_url(self) -> str | None:
        """The broker that its tasks are submitted to: its own, else UPNEXT_REDIS_URL; None: the
        embedded one.

        Raises:
            ConfigurationError: a setting cannot be used.
        """
        return self.redis_url or Settings.load().redis_url

    def middleware(self, function: M) -> M:
        """Put an async generator function around every attempt of this worker's jobs.

            @worker.middleware
            async def timed(ctx: upnext.Context) -> AsyncIterator[None]:
                began = time.perf_counter()
                try:
                    result = yield
                finally:
                    print(ctx.job_id, time.perf_counter() - began)

        `yield` is where the job runs: it gives the result, or raises what the job raised. The
        attempt's timeout is that of its middleware, too. What a middleware raises counts as if
        the function had raised it, `Retry`, `Snooze` and `Discard` included; what it catches and
        does not raise again goes on its way all the same. The first one declared is outermost.

        Raises:
            TypeError: it is no async generator function of one argument.
        """
        check_middleware(function)
        self.middlewares.append(function)
        return function

    def autodiscover(self, *packages: str) -> None:
        """Import packages with all their modules, now, so that tasks in them are declared.

        Modules named `__main__` are left out. To do the same when the worker is about to run, use
        `autodiscover_packages`.

        Args:
            *packages: Their dotted names.

        Raises:
            ConfigurationError: a module cannot be imported, or is no package; the message names it.
        """
        for name in package_names(packages):
            import_package(name)

    def discover(self) -> None:
        """Import the `autodiscover_packages`, if that is not done yet; whoever is to run the
        worker or to look at its tasks calls this. Raises as `autodiscover`."""
        while self._undiscovered:
            import_package(self._undiscovered[0])
            del self._undiscovered[0]

    def __repr__(self) -> str:
        return f"<Worker {self.name!r}, {len(self.tasks)} tasks>"


def as_context_manager(
    lifespan: Lifespan,
) -> Callable[[Worker], AbstractAsyncContextManager[Any]]:
    """A lifespan in the one form that the worker knows."""
    if not callable(lifespan):
        raise ConfigurationError(f"lifespan must be a function, not {lifespan!r}")
    if isasyncgenfunction(lifespan):
        return asynccontextmanager(lifespan)
    return cast("Callable[[Worker], AbstractAsyncContextManager[Any]]", lifespan)
