"""Write docs/parity.md: the interface of earlier versions, and the test that shows each part.

    python -m docs.make_parity            from the project's top: check the table, write the page
    python -m docs.make_parity --check    fail if the page is out of date

The table is docs/parity.toml; how its rows are written is said there. Each row is checked against
the package itself and against the tests: what is not there, has another default, or names a test
that does not exist is one line of complaint.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import upnext
from upnext.errors import ConfigurationError
from upnext.settings import Settings

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs/parity.toml"
PAGE = ROOT / "docs/parity.md"

Row = Mapping[str, Any]
STANDS = ("test", "planned", "gone", "differs")
KNOWN = {"name", "does", "default", "was", "field", "sample", "instead", "wrong", "holds", *STANDS}
ABSENT = object()
INTRODUCTION = """\
# Parity

<!-- Made of docs/parity.toml by `python -m docs.make_parity`. Do not edit. -->

What earlier versions offered, name by name, and the test that shows that it is here and does what
it says; and what they got wrong, and the test that keeps it right. This page is generated: the
script that makes it fails when a name or a test is missing, or a default is another one.

Of {rows} rows {differs} differ from what they were, {gone} are gone, and {planned} are to come;
each says why. A name that begins neither with `upnext.` nor with `UPNEXT_` is one of `upnext`;
`Worker(name)` is a parameter. The mistakes are {mistakes}.
"""
INTERFACE = "## The interface of earlier versions"
MISTAKES = "## What earlier versions got wrong, and the test that keeps it right"
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py::[\w:]+)`")


def collected(root: Path = ROOT) -> set[str]:
    """The ids of all tests, without parameters."""
    return {
        f"{path.relative_to(root)}::{name}"
        for path in sorted((root / "tests").rglob("test_*.py"))
        for name in _tests_in(ast.parse(path.read_bytes(), str(path)).body)
    }


def _tests_in(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name.startswith("test"):
                    yield name
            case ast.ClassDef(name=name) if name.startswith("Test"):
                yield from (f"{name}::{inner}" for inner in _tests_in(node.body))
            case _:
                pass


def problems(table: Mapping[str, Any], tests: set[str]) -> Iterator[str]:
    """What is wrong with the table; a line each."""
    for part in table["part"]:
        for row in part["rows"]:
            for problem in _row_problems(row, table["planned"], tests):
                yield f"{part['title']}: {row.get('name') or row.get('does')}: {problem}"
    for part in table["mistakes"]:
        for row in part["rows"]:
            for problem in _mistake_problems(row, table["planned"], tests):
                yield f"{part['title']}: {row.get('holds')}: {problem}"


def _row_problems(row: Row, planned: Mapping[str, str], tests: set[str]) -> Iterator[str]:
    yield from _form_problems(row, planned, tests)
    if not (ids(row) or row.keys() & {"planned", "gone"}):
        yield "neither a test, nor planned, nor gone"
    if not row.get("does"):
        yield "what it does is not said"
    name = row.get("name", "")
    if not name or "planned" in row:
        return
    if "instead" in row and find(row["instead"]) is ABSENT:
        yield f"instead of it there is no {row['instead']}"
    try:
        actual = _setting(row) if name.startswith("UPNEXT_") else find(name)
    except (ConfigurationError, AttributeError) as error:
        yield str(error)
        return
    if "gone" in row:
        if actual is not ABSENT:
            yield "it is said to be gone, and is there"
    elif actual is ABSENT:
        yield "it is not there"
    elif "default" in row and shown(value := _value(name, actual)) != row["default"]:
        yield f"it is {shown(value)}, not {row['default']}"
    elif "was" in row and "differs" not in row:
        yield "it differs from what it was: say why"


def _mistake_problems(row: Row, planned: Mapping[str, str], tests: set[str]) -> Iterator[str]:
    yield from _form_problems(row, planned, tests)
    if not (ids(row) or "planned" in row):
        yield "neither a test nor planned"
    if not (row.get("wrong") and row.get("holds")):
        yield "say what was wrong and what holds"


def _form_problems(row: Row, planned: Mapping[str, str], tests: set[str]) -> Iterator[str]:
    if unknown := sorted(row.keys() - KNOWN):
        yield f"unknown words: {', '.join(unknown)}"
    if "planned" in row and row["planned"] not in planned:
        yield f"nothing called {row['planned']!r} is planned"
    if "planned" in row and row.keys() & {"test", "gone", "differs"}:
        yield "planned, and there as well"
    yield from (f"there is no test {test}" for test in ids(row) if test not in tests)


def ids(row: Row) -> list[str]:
    """The ids of a row's tests."""
    given = row.get("test", [])
    return [f"tests/{test}" for test in ([given] if isinstance(given, str) else given)]


def find(name: str) -> Any:
    """What a name of the table means: something importable, or a parameter's default."""
    parameter = re.fullmatch(r"(.+)\((\w+)\)", name)
    if parameter is None:
        return _object(name)
    function = _object(parameter[1])
    if function is ABSENT:
        return ABSENT
    for form in (*typing.get_overloads(function), function):
        if found := inspect.signature(form).parameters.get(parameter[2]):
            return found.default
    return ABSENT


def _object(name: str) -> Any:
    path = name.split(".")
    found: Any = upnext
    if path[0] == "upnext":
        del path[0]
    for part in path:
        try:
            inner = getattr(found, part, ABSENT)
            if inner is ABSENT and inspect.ismodule(found):
                inner = import_module(f"{found.__name__}.{part}")
        except ModuleNotFoundError:
            return ABSENT
        if inner is ABSENT and inspect.isclass(found):
            inner = getattr(_samples().get(found), part, ABSENT)
        if inner is ABSENT:
            return ABSENT
        found = inner
    return found


def _value(name: str, found: object) -> object:
    """What a property gives; anything else is its own value."""
    if not isinstance(found, property):
        return found
    owner, _, attribute = name.rpartition(".")
    return getattr(_samples()[_object(owner)], attribute)


@cache
def _samples() -> dict[type, object]:
    """An instance of each class whose attributes only instances have."""
    worker = upnext.Worker("sample")
    event = worker.event("sample")
    result = upnext.TaskResult(value=None, job_id="sample")
    objects: tuple[object, ...] = (
        worker,
        event,
        event.on(name="handler")(lambda: None),
        worker.task(name="task")(lambda: None),
        upnext.Future("sample"),
        result,
        upnext.TaskExecutionError(result),
        upnext.JobNotFoundError("sample"),
        upnext.Context(job_id="sample"),
    )
    return {type(each): each for each in objects}


def _setting(row: Row) -> Any:
    """A variable's default, once it is seen that the variable is read; ABSENT when it is not."""
    name, plain = row["name"], Settings.load({})
    if "field" not in row:
        return ABSENT if Settings.load({name: "1"}) == plain else None
    read, sample = attrgetter(row["field"]), row["sample"]
    given = {name: sample} if isinstance(sample, str) else sample
    if read(Settings.load(given)) == read(plain):
        raise ConfigurationError(f"setting {given} changes nothing")
    return read(plain)


def shown(value: object) -> str:
    """A default as the table has it."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    return repr(value)


def page(table: Mapping[str, Any]) -> str:
    """The page that the table makes."""
    rows = [row for part in table["part"] for row in part["rows"]]
    mistakes = [row for part in table["mistakes"] for row in part["rows"]]
    stands = {kind: sum(kind in row for row in rows) for kind in STANDS}
    lines = [INTRODUCTION.format(rows=len(rows), mistakes=len(mistakes), **stands), INTERFACE, ""]
    for part in table["part"]:
        lines += [f"### {part['title']}", ""]
        if "text" in part:
            lines += [part["text"].strip(), ""]
        lines += ["| name | default | | test |", "|---|---|---|---|"]
        lines += [_line(row, table["planned"]) for row in part["rows"]]
        lines.append("")
    lines += [MISTAKES, ""]
    for part in table["mistakes"]:
        lines += [f"### {part['title']}", ""]
        lines += ["| it went wrong | what holds | test |", "|---|---|---|"]
        for row in part["rows"]:
            tests = _tests(row, table["planned"])
            lines.append(f"| {_cell(row['wrong'])} | {_cell(row['holds'])} | {tests} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _line(row: Row, planned: Mapping[str, str]) -> str:
    name = f"`{row['name']}`" if "name" in row else ""
    default = f"`{row['default']}`" if "default" in row else ""
    if "was" in row:
        default += f" (was `{row['was']}`)"
    said = [_cell(row["does"])]
    said += [f"**Differs:** {_cell(row['differs'])}"] if "differs" in row else []
    said += [f"**Gone:** {_cell(row['gone'])}"] if "gone" in row else []
    said += [f"Instead: `{row['instead']}`"] if "instead" in row else []
    return f"| {name} | {default} | {'. '.join(said)} | {_tests(row, planned)} |"


def _tests(row: Row, planned: Mapping[str, str]) -> str:
    tests = [f"`{test}`" for test in ids(row)]
    if "planned" in row:
        tests.append(f"*to come, with {planned[row['planned']]}*")
    return "<br>".join(tests)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def pages_problems(folder: Path, tests: set[str]) -> Iterator[str]:
    """Tests that pages written by hand name, and that are not there."""
    for path in sorted(folder.glob("*.md")):
        for test in NAMED_TEST.findall(path.read_text()):
            if test not in tests:
                yield f"{path.name}: there is no test {test}"


def main(words: list[str]) -> int:
    """Check, and write the page; `--check` compares instead. Returns the exit code."""
    table, tests = tomllib.loads(SOURCE.read_text()), collected()
    complaints = [*problems(table, tests), *pages_problems(SOURCE.parent, tests)]
    if not complaints:
        text = page(table)
        if "--check" not in words:
            PAGE.write_text(text)
        elif not PAGE.exists() or PAGE.read_text() != text:
            complaints = [f"{PAGE.name} is out of date: python -m docs.make_parity"]
    sys.stderr.writelines(f"{line}\n" for line in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
