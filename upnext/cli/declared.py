"""What the files of a user declare, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict
from rich.console import Group, RenderableType
from rich.text import Text

from upnext.cli.crons import cron_facts, schedule_of, scheduled
from upnext.cli.loader import tasks_of
from upnext.cli.render import named, plain_table, safe
from upnext.cli.visible import one_line

if TYPE_CHECKING:
    from upnext.api.api import Api
    from upnext.client.handle import TaskHandle
    from upnext.worker.worker import Worker


def listing(workers: Sequence[Worker], apis: Sequence[Api] = ()) -> RenderableType:
    """APIs, and workers with the names of their tasks."""
    parts: list[RenderableType] = []
    if apis:
        table = plain_table("api", "url", "routes")
        for api in apis:
            table.add_row(named(api.name), safe(url_of(api)), str(len(api.routes)))
        parts += [table, Text()]
    return Group(*parts, _workers(workers)) if workers else Group(*parts[:-1])


def _workers(workers: Sequence[Worker]) -> RenderableType:
    table = plain_table("worker", "concurrency", "tasks")
    for worker in workers:
        names = "\n".join(map(one_line, names_of(worker))) or "none"
        table.add_row(named(worker.name), str(worker.concurrency), Text(names))
    return table


def inspection(workers: Sequence[Worker], apis: Sequence[Api] = ()) -> RenderableType:
    """Every route, and every task with what its definition says."""
    parts: list[RenderableType] = []
    if apis:
        table = plain_table("api", "route", "handler")
        for api in apis:
            for route in api.routes:
                methods = ",".join(route.methods)
                path = safe(f"{methods} {route.path.template}")
                table.add_row(named(api.name), path, safe(route.name))
            for mount in api.static_files:
                table.add_row(named(api.name), safe(f"GET {mount.path}"), safe(mount.directory))
        parts += [table, Text()]
    return Group(*parts, _tasks(workers)) if workers else Group(*parts[:-1])


def _tasks(workers: Sequence[Worker]) -> RenderableType:
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


def described(workers: Sequence[Worker], apis: Sequence[Api] = ()) -> dict[str, Any]:
    """What `inspect --json` prints."""
    return {
        "apis": [
            {
                "name": api.name,
                "port": api.port,
                "routes": [
                    f"{method}:{route.path.template}"
                    for route in api.routes
                    for method in route.methods
                ],
                "static_mounts": [asdict(mount) for mount in api.static_files],
            }
            for api in apis
        ],
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


def url_of(api: Api) -> str:
    """Where to reach an API from this machine."""
    host = "localhost" if api.host in ("0.0.0.0", "::", "") else api.host
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{api.port or '(any that is free)'}"


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
