"""A census of Python source: a tree of jobs that reads a few thousand real files.

    python examples/census.py [DIRECTORY]      by default the standard library of this Python

    census ─┬─ count_part ─── count_file       a job for each file, in worker processes
            ├─ count_part ─┬─ count_file
            │              └─ count_file
            └─ sum_up                          waits for the parts

`census` walks the directory and submits a `count_part` for each folder (a large folder has several
parts), which submits a `count_file` for each of its files and adds up what they found. `sum_up`
makes the report. `census` itself ends as soon as all are under way and tells their ids: an id is
all that a program needs to wait for a job, so this one shows each part as it is done.

Some files cannot be read, and are not supposed to be: the standard library tests its own parser
with broken ones. Their jobs fail; the report says which and why.

The command above runs the workers as well. They can also run elsewhere, as many as you like:

    upnext run examples/census.py              in one terminal, or in ten
    python examples/census.py --producer       in another one
"""

from __future__ import annotations

import argparse
import ast
import os
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import anyio
import anyio.to_thread
from _beside import beside
from attrs import Factory, evolve, frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import upnext

PART = 100
"""Files in one `count_part`: enough to be worth a job, few enough to see progress."""
OTHERS = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules"})
"""Folders whose content is somebody else's."""
LAYOUT = frozenset(
    {
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)
"""Tokens that make no line a line of code."""

trees = upnext.Worker("census-trees", concurrency=8)
files = upnext.Worker(
    "census-files",
    concurrency=os.cpu_count() or 2,
    sync_executor=upnext.SyncExecutor.PROCESS,
)


@frozen
class Tally:
    """What was counted, in one file or in many."""

    files: int = 0
    lines: int = 0
    code: int = 0
    comments: int = 0
    functions: int = 0
    classes: int = 0
    longest: int = 0
    """Lines of the longest function."""
    longest_name: str = ""
    """Its file and its name."""

    def __add__(self, other: Tally) -> Tally:
        longest = max(self, other, key=lambda tally: tally.longest)
        return Tally(
            files=self.files + other.files,
            lines=self.lines + other.lines,
            code=self.code + other.code,
            comments=self.comments + other.comments,
            functions=self.functions + other.functions,
            classes=self.classes + other.classes,
            longest=longest.longest,
            longest_name=longest.longest_name,
        )


@frozen
class Part:
    """Some files of one folder."""

    root: Path
    folder: Path
    """Below the root."""
    names: list[str]

    @property
    def package(self) -> str:
        return self.folder.parts[0] if self.folder.parts else "(modules)"


@frozen
class Unreadable:
    file: Path
    reason: str


@frozen
class PartCount:
    """What one part came to."""

    package: str
    tally: Tally
    unreadable: list[Unreadable]


@frozen
class Plan:
    """The jobs that are under way: how many files each part has, by its job, and who sums up."""

    parts: dict[str, int]
    sum_up: str


@frozen
class Report:
    packages: dict[str, Tally] = Factory(dict[str, Tally])
    unreadable: list[Unreadable] = Factory(list[Unreadable])


@files.task(timeout=60)
def count_file(file: Path) -> Tally:
    """Count one file; raises what Python itself says of a file that it cannot read."""
    source = file.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like; not what is asked here
        tree = ast.parse(source, filename=file.name)
    code, comments = set[int](), 0
    for kind, _, (first, _), (last, _), _ in tokenize.tokenize(BytesIO(source).readline):
        if kind == tokenize.COMMENT:
            comments += 1
        elif kind not in LAYOUT:
            code.add(first)
            if last != first:
                code.update(range(first, last + 1))
    found = list(definitions(tree))
    functions = [(length(one), one.name) for one in found if not isinstance(one, ast.ClassDef)]
    longest, longest_name = max(functions, default=(0, ""))
    return Tally(
        files=1,
        lines=len(source.splitlines()),
        code=len(code),
        comments=comments,
        functions=len(functions),
        classes=len(found) - len(functions),
        longest=longest,
        longest_name=longest_name,
    )


def definitions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Every function and class, at whatever depth; statements alone can hold them."""
    ahead = [tree]
    while ahead:
        for node in ast.iter_child_nodes(ahead.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node
            if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
                ahead.append(node)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@trees.task
async def count_part(part: Part) -> PartCount:
    """A job for each file, all in one write; a file that fails fails alone."""
    paths = [part.root / part.folder / name for name in part.names]
    jobs = await upnext.submit_many(count_file, [{"file": path} for path in paths])
    total, unreadable = Tally(), list[Unreadable]()
    counts = await upnext.gather(*jobs, return_exceptions=True)
    for name, count in zip(part.names, counts, strict=True):
        match count:
            case Tally():
                total += evolve(count, longest_name=f"{name}: {count.longest_name}")
            case upnext.TaskExecutionError():
                unreadable.append(Unreadable(part.folder / name, count.error))
            case _:
                raise count
    return PartCount(part.package, total, unreadable)


@trees.task
async def sum_up(parts: list[str]) -> Report:
    """Wait for the jobs of all parts, and add them up by package."""
    report = Report()
    for count in await upnext.gather(*map(count_part.future, parts)):
        before = report.packages.get(count.package, Tally())
        report.packages[count.package] = before + count.tally
        report.unreadable.extend(count.unreadable)
    return report


@trees.task
async def census(directory: Path) -> Plan:
    """The parent: walk the directory, fan out, and tell which jobs there are."""
    parts = await anyio.to_thread.run_sync(lambda: list(walk(directory)))
    jobs = await upnext.submit_many(count_part, [{"part": part} for part in parts])
    ids = [job.job_id for job in jobs]
    total = await sum_up.submit(ids)
    sizes = [len(part.names) for part in parts]
    return Plan(dict(zip(ids, sizes, strict=True)), total.job_id)


def walk(directory: Path) -> Iterator[Part]:
    """The Python files below a directory, folder by folder."""
    for folder, below, found in os.walk(directory):
        below[:] = sorted(name for name in below if name not in OTHERS and name[0] != ".")
        names = sorted(name for name in found if name.endswith(".py"))
        for first in range(0, len(names), PART):
            place = Path(folder).relative_to(directory)
            yield Part(directory, place, names[first : first + PART])


async def produce(directory: Path) -> None:
    """Submit the census, show how far it is, and print what it found."""
    plan = (await census.wait(directory)).value
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        bar = progress.add_task("files read", total=sum(plan.parts.values()))

        async def follow(job_id: str, size: int) -> None:
            await count_part.future(job_id).result()
            progress.advance(bar, size)

        async with anyio.create_task_group() as group:
            for job_id, size in plan.parts.items():
                group.start_soon(follow, job_id, size)
        report = await sum_up.future(plan.sum_up).value()
    show(report, directory)


def show(report: Report, directory: Path) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    table = Table(title=f"Python source in {directory}", title_justify="left")
    table.add_column("package", no_wrap=True)
    for heading in ("files", "lines", "code", "comments", "functions", "classes"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("longest function")
    for package, tally in sorted(report.packages.items(), key=lambda item: -item[1].lines):
        table.add_row(package, *cells(tally))
    table.add_section()
    table.add_row("total", *cells(sum(report.packages.values(), Tally())), style="bold")
    console.print(table)

    if report.unreadable:
        console.print(f"\n{len(report.unreadable)} of the files cannot be read:")
    for one in sorted(report.unreadable, key=lambda one: one.file):
        console.print(Text.assemble(f"  {one.file}: ", (one.reason, "red")), soft_wrap=True)


def cells(tally: Tally) -> Iterator[str]:
    yield from (f"{tally.files:,}", f"{tally.lines:,}", f"{tally.code:,}", f"{tally.comments:,}")
    yield from (f"{tally.functions:,}", f"{tally.classes:,}")
    yield f"{tally.longest:,} lines, {tally.longest_name}" if tally.longest else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="A census of Python source.")
    library = sysconfig.get_path("stdlib")
    parser.add_argument("directory", type=Path, nargs="?", default=library)
    parser.add_argument("--producer", action="store_true", help="the workers run elsewhere")
    given = parser.parse_args()
    # The log tells of each broken file; here the report does.
    workers = beside(__file__, log=lambda line: None)
    with nullcontext() if given.producer else workers:
        anyio.run(produce, given.directory.resolve())


if __name__ == "__main__":
    main()
