"""What a user declares: a worker and its tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence

from upnext.client.cron_declarations import CronDeclarations
from upnext.errors import ConfigurationError
from upnext.worker.queue_config import SyncExecutor, WorkerQueueConfig

__all__ = ["Worker"]


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
    ) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"concurrency must be 1 or more, not {concurrency!r}")
        if max_waiting < 0:
            raise ConfigurationError(f"max_waiting must be 0 or more, not {max_waiting!r}")
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

    def __repr__(self) -> str:
        return f"<Worker {self.name!r}, {len(self.tasks)} tasks>"


def only_named(workers: Sequence[Worker], names: Sequence[str] | None) -> list[Worker]:
    """The workers with these names, each once, in the order given; all of them for None."""
    distinct = list(dict.fromkeys(workers))
    return [worker for worker in distinct if names is None or worker.name in names]
