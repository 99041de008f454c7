"""What the files of a user declare, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from upnext.cli.crons import cron_facts, schedule_of, scheduled
from upnext.cli.loader import tasks_of
from upnext.cli.render import named, plain_table, safe
from upnext.cli.visible import one_line

if TYPE_CHECKING:
    from upnext.client.handle import TaskHandle
    from upnext.worker.worker import Worker


def listing(workers: Sequence[Worker]) -> RenderableType:
    """Workers and the names of their tasks."""
    table = plain_table("worker", "concurrency", "tasks")
    for worker in workers:
        names = "\n".join(map(one_line, names_of(worker))) or "none"
        table.add_row(named(worker.name), str(worker.concurrency), Text(names))
    return table


def inspection(workers: Sequence[Worker]) -> RenderableType:
    """Every task with what its definition says."""
    scheduled = ["schedule"] if any(worker.crons for worker in workers) else []
    table = plain_table("worker", "task", "retries", "timeout", "runs as", "defined in", *scheduled)
    for worker in workers:
        for name, handle in _declared(worker):
            definition = handle.definition
            table.add_row(
                named(worker.name),
                safe(name),
                str(definition.retries),
                "none" if definition.timeout is None else f"{definition.timeout:g} s",
                "async" if definition.is_async else worker.sync_executor.value,
                safe(definition.place),
                *[safe(schedule_of(handle)) for _ in scheduled],
            )
    return table


def described(workers: Sequence[Worker]) -> dict[str, Any]:
    """What `inspect --json` prints."""
    return {
        "apis": [],
        "workers": [
            {
                "name": worker.name,
                "concurrency": worker.concurrency,
                "tasks": [
                    {
                        "name": name,
                        "retries": handle.definition.retries,
                        "timeout": handle.definition.timeout,
                    }
                    for name, handle in worker.tasks.items()
                ],
                "crons": [cron_facts(handle) for handle in worker.crons],
                "events": list(worker.events),
            }
            for worker in workers
        ],
    }


def names_of(worker: Worker) -> list[str]:
    """All that a worker runs, with what makes the jobs of crons and handlers."""
    handlers = [name for name, _ in _handlers(worker)]
    return [*worker.tasks, *map(scheduled, worker.crons), *handlers]


def _declared(worker: Worker) -> list[tuple[str, TaskHandle[..., Any]]]:
    """Tasks, crons and handlers, as a table names them."""
    return [*tasks_of(worker).items(), *_handlers(worker)]


def _handlers(worker: Worker) -> list[tuple[str, TaskHandle[..., Any]]]:
    return [
        (f"{name} (on {pattern})", handler.task)
        for pattern, handle in worker.events.items()
        for name, handler in handle.handlers.items()
    ]
