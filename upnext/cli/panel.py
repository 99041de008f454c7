"""What runs: told by the process that loaded it, shown by the one that owns the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from upnext import __version__
from upnext.cli.declared import names_of, url_of
from upnext.cli.render import facts_table, named, safe

if TYPE_CHECKING:
    from upnext.api.api import Api
    from upnext.worker.worker import Worker

__all__ = ["Declared", "DeclaredApi", "DeclaredWorker", "declare", "running"]


@frozen
class DeclaredWorker:
    """A worker, for people."""

    name: str
    concurrency: int
    functions: tuple[str, ...]
    """Crons with their schedule, handlers with their event."""


@frozen
class DeclaredApi:
    """An API, for people."""

    name: str
    url: str
    docs: str
    """Where its documentation is; empty: nowhere."""


@frozen
class Declared:
    """What a process is going to run."""

    workers: tuple[DeclaredWorker, ...]
    apis: tuple[DeclaredApi, ...]
    brokers: tuple[str, ...]
    backend: str

    def as_facts(self) -> dict[str, Any]:
        """In values that JSON knows."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Declared:
        """The reverse of `as_facts`, once through JSON."""
        return cls(
            workers=tuple(
                DeclaredWorker(one["name"], one["concurrency"], tuple(one["functions"]))
                for one in facts["workers"]
            ),
            apis=tuple(DeclaredApi(**one) for one in facts["apis"]),
            brokers=tuple(facts["brokers"]),
            backend=facts["backend"],
        )


def declare(
    workers: Iterable[Worker], apis: Iterable[Api] = (), *, brokers: Sequence[str], backend: str
) -> Declared:
    """What there is to tell of these workers and APIs."""
    return Declared(
        workers=tuple(
            DeclaredWorker(worker.name, worker.concurrency, tuple(names_of(worker)))
            for worker in workers
        ),
        apis=tuple(
            DeclaredApi(
                api.name,
                url_of(api),
                f"{url_of(api)}{api.docs_url}" if api.docs_url and api.openapi_url else "",
            )
            for api in apis
        ),
        brokers=tuple(brokers),
        backend=backend,
    )


def running(declared: Declared, *, mode: str = "", notes: Mapping[str, str] | None = None) -> Panel:
    """The panel of what runs.

    Args:
        declared: What.
        mode: A word behind the title.
        notes: More facts, by their names.
    """
    parts: list[RenderableType] = []
    if declared.apis:
        table = _table("api", "url", "docs")
        for api in declared.apis:
            table.add_row(named(api.name), safe(api.url), safe(api.docs or "none"))
        parts += [table, Text()]
    if declared.workers:
        table = _table("worker", "concurrency", "tasks")
        for worker in declared.workers:
            tasks = safe(", ".join(worker.functions) or "no tasks")
            table.add_row(named(worker.name), str(worker.concurrency), tasks)
        parts += [table, Text()]
    facts = {"broker": ", ".join(declared.brokers), "backend": declared.backend, **(notes or {})}
    parts += [facts_table(facts), Text(), Text("Ctrl+C to stop", style="dim")]
    return Panel(
        Group(*parts),
        title=f"UpNext {__version__}{f' {mode}' if mode else ''}",
        title_align="left",
        expand=False,
        padding=(1, 2),
    )


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), show_edge=False)
    for heading in headings:
        table.add_column(heading, header_style="dim", overflow="fold")
    return table
