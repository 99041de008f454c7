"""The rules of the code's shape (docs/contributing.md), and that each of them catches a breach."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import pytest

import upnext

ROOT = Path(__file__).parents[1]

# Imports point from a later row to an earlier one, or stay in their row's part.
LAYERS = (
    ("model", "errors", "settings"),
    ("contracts",),
    ("redis",),
    ("store",),
    ("tasks", "client"),
    ("worker", "api", "supervision"),
    ("runner", "service", "cli"),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
# Stands beside the layers: nothing imports it, and it sees this much.
BESIDE = {
    "testing": tuple(f"upnext.{part}" for row in LAYERS[:6] for part in row),
}
# The package's own front door: re-exports and start-up, so everything is below it. Only the
# command line, which loads users' programs, comes in through it as they do.
FRONT = ("__init__", "__main__")
GUESTS = ("cli",)

LOOPS = (
    "redis/loops.py",  # what every command goes through
    "redis/reading.py",  # the same
    "testing/trio_watch.py",  # virtual time
    "testing/virtual_loop.py",
    "testing/virtual_time.py",
)
"""What asks an event loop itself. All else speaks AnyIO."""

TASK_GROUPS = (
    "api/serve.py",  # the connections of one API, and what takes them in
    "api/server/connection.py",  # the requests of one client
    "api/sse.py",  # the readers of one job's news
    "api/server/lifespan.py",  # the app's own start and stop
    "api/web/http.py",  # a handler, and what hears its client
    "api/web/lifespan.py",  # the app's background tasks
    "api/web/websocket.py",  # a handler, and what hears its client
    "api/static/child.py",  # a process and the reader of its output
    "api/static/mounts.py",  # a task for each dev server
    "api/static/respond.py",  # a download, and whether its client is still there
    "api/tracking/tracker.py",  # writing what was counted, beside saying that the API is there
    "client/group.py",
    "client/parallel.py",
    "testing/harness.py",  # the workers of one test
    "service/serving.py",  # an API, its tracking and dev servers
    "service/tree.py",  # the components of one process, and the signals that end them
    "supervision/child.py",  # what a process asks, while one waits for its end
    "supervision/supervisor.py",  # the processes of one service
    "worker/reporting/hatch.py",  # a task for each process that hands in reports
    "worker/settlement/renewal.py",  # a thread, with the two tasks that are its way to the loop
    "worker/supervisor.py",
)
LONGEST = 400
MEASURED = ("upnext", "server", "tests", "benchmarks", "examples")
SHIELDING = {"move_on_after", "fail_after"}


def python_files(root: Path, *folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            if not {".venvs", "node_modules", "__pycache__"} & set(path.parts):
                yield path


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def imports(path: Path, root: Path) -> Iterator[str]:
    """Absolute names of all that a file imports, in functions and for types only, too."""
    package = path.relative_to(root).with_suffix("").parts[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str:
    return (*module.split("."), "__init__")[1]


def under(module: str, *parents: str) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def layers(root: Path) -> Iterator[str]:
    sideways: set[tuple[str, str]] = set()
    for path in python_files(root, "upnext"):
        here = part_of(".".join(path.relative_to(root).with_suffix("").parts))
        for name in imports(path, root):
            there = part_of(name)
            if under(name, "upnext_server"):
                yield f"{path}: the SDK imports the server"
            if not under(name, "upnext") or there in (here, "__version__") or here in FRONT:
                continue
            if here in BESIDE:
                allowed = under(name, *BESIDE[here])
            elif here in GUESTS and there not in {*LEVEL, *BESIDE}:
                allowed = True
            else:
                allowed = LEVEL.get(there, len(LAYERS)) <= LEVEL.get(here, -1)
            if not allowed:
                yield f"{path}: {here} imports {name}, which is not below it"
            elif (there, here) in sideways:
                yield f"{path}: {here} imports {name}, and {there} imports {here}"
            elif LEVEL.get(there) == LEVEL.get(here):
                sideways.add((here, there))


def ports(root: Path) -> Iterator[str]:
    for path in python_files(root, "upnext/worker"):
        for name in imports(path, root):
            if under(name, "upnext.store") and path.name != "ports.py":
                yield f"{path}: imports {name}, not worker/ports.py"


def loops(root: Path) -> Iterator[str]:
    allowed = {root / "upnext" / name for name in LOOPS}
    for path in python_files(root, "upnext"):
        for name in imports(path, root):
            if under(name, "asyncio", "trio") and path not in allowed:
                yield f"{path}: imports {name}, not anyio"


def lengths(root: Path) -> Iterator[str]:
    for path in python_files(root, *MEASURED):
        if (lines := len(path.read_bytes().splitlines())) > LONGEST:
            yield f"{path}: {lines} lines"


def task_groups(root: Path) -> Iterator[str]:
    allowed = {root / "upnext" / name for name in TASK_GROUPS}
    for path in python_files(root, "upnext"):
        opens = any(called(node) == "create_task_group" for node in ast.walk(tree(path)))
        if opens and path not in allowed:
            yield f"{path}: opens a task group and is not in TASK_GROUPS"


def shields(root: Path) -> Iterator[str]:
    for path in python_files(root, "upnext"):
        for node in ast.walk(tree(path)):
            where = f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(t, ast.Attribute) and t.attr == "shield" for t in targets):
                    yield f"{where}: a shield switched on later"
            elif isinstance(node, ast.Call) and unbounded(node):
                yield f"{where}: a shield without a bound"


def unbounded(call: ast.Call) -> bool:
    given = {word.arg: word.value for word in call.keywords}
    shield = given.get("shield")
    if shield is None or (isinstance(shield, ast.Constant) and shield.value is False):
        return False
    bound = given.get("deadline")
    if called(call) in SHIELDING:
        bound = call.args[0] if call.args else given.get("delay")
    match bound:
        case None | ast.Constant(value=None) | ast.Attribute(attr="inf") | ast.Name(id="inf"):
            return True
        case _:
            return False


def called(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def scripts(root: Path) -> Iterator[str]:
    store = root / "upnext/store"
    for script in sorted(store.glob("lua/*.lua")):
        lines = script.read_text().splitlines()
        header = " ".join(takewhile(lambda line: line.startswith("--"), lines)).lower()
        if not header:
            yield f"{script}: no header comment"
        if script.name.startswith("_"):
            continue  # a fragment that the verbs share
        if not (store / f"{script.stem}.py").exists():
            yield f"{script}: no store/{script.stem}.py"
        for names in (("keys",), ("args", "argv"), ("result", "returns")):
            if header and not any(name in header for name in names):
                yield f"{script}: the header does not name its {names[0]}"


def exports(root: Path) -> Iterator[str]:
    for path in python_files(root, "upnext", "server"):
        module = tree(path)
        for node in module.body:
            if isinstance(node, ast.Assign) and called_all(node):
                names: list[str] = ast.literal_eval(node.value)
                if list(names) != sorted(names, key=export_order):
                    yield f"{path}: __all__ is not sorted"
                for missing in sorted(set(names) - bound(module)):
                    yield f"{path}: __all__ names {missing}, which is not there"


def called_all(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)


def export_order(name: str) -> tuple[int, str]:
    """Constants, classes, the rest: the order that ruff's RUF022 asks for."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


def bound(module: ast.Module) -> set[str]:
    """The names a module has: bound at its top level, or imported in it, be it for types only."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    for node in module.body:
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return names


Rule = Callable[[Path], Iterator[str]]


@pytest.mark.parametrize(
    "rule", [layers, ports, loops, lengths, task_groups, shields, scripts, exports]
)
def test_the_project_keeps_the_rule(rule: Rule) -> None:
    assert list(rule(ROOT)) == []


def test_all_that_the_package_promises_can_be_imported() -> None:
    promised = getattr(upnext, "__all__", [])
    assert [name for name in promised if not hasattr(upnext, name)] == []


LONG = "x = 1\n" * (LONGEST + 1)

BREACHES: list[tuple[Rule, str, str]] = [
    (layers, "upnext/model/job.py", "from upnext.store import claim"),
    (layers, "upnext/model/job.py", "def f():\n    import upnext.worker.supervisor"),
    (layers, "upnext/redis/link.py", "from ..store.claim import claim"),
    (layers, "upnext/redis/link.py", "if TYPE_CHECKING:\n    from upnext import store"),
    (layers, "upnext/worker/supervisor.py", "from upnext.testing import memory"),
    (layers, "upnext/testing/harness.py", "from upnext.runner import run"),
    (layers, "upnext/runner.py", "from upnext import Worker"),
    (layers, "upnext/cli/main.py", "from upnext import testing"),
    (layers, "upnext/cli/main.py", "import upnext_server.app"),
    (layers, "upnext/unheard_of.py", "from upnext.model import job"),
    (ports, "upnext/worker/intake/fetcher.py", "from upnext.store.claim import claim"),
    (loops, "upnext/worker/intake/fetcher.py", "import asyncio"),
    (loops, "upnext/worker/intake/fetcher.py", "from trio import lowlevel"),
    (loops, "upnext/api/serve.py", "def f():\n    from asyncio import Future"),
    (lengths, "upnext/long.py", LONG),
    (lengths, "server/upnext_server/api/long.py", LONG),
    (lengths, "tests/unit/test_long.py", LONG),
    (task_groups, "upnext/api/runtime.py", "async with anyio.create_task_group() as group: ..."),
    (task_groups, "upnext/api/runtime.py", "group = create_task_group()"),
    (shields, "upnext/a.py", "with CancelScope(shield=True): ..."),
    (shields, "upnext/a.py", "with anyio.CancelScope(deadline=math.inf, shield=True): ..."),
    (shields, "upnext/a.py", "with move_on_after(None, shield=True): ..."),
    (shields, "upnext/a.py", "with fail_after(delay=inf, shield=maybe): ..."),
    (shields, "upnext/a.py", "scope.shield = True"),
    (scripts, "upnext/store/lua/claim.lua", "-- KEYS, ARGV, result\nreturn 1"),  # no claim.py
    (scripts, "upnext/store/lua/_shared.lua", "return 1"),
    (exports, "upnext/a.py", "__all__ = ['b', 'a']\na = b = 1"),
    (exports, "upnext/a.py", "__all__ = ['a', 'b']\na = 1"),
]


@pytest.mark.parametrize(("rule", "name", "text"), BREACHES)
def test_a_breach_is_caught(tmp_path: Path, rule: Rule, name: str, text: str) -> None:
    write(tmp_path, name, text)
    assert len(list(rule(tmp_path))) == 1


def test_two_parts_of_one_layer_that_import_each_other_are_caught(tmp_path: Path) -> None:
    write(tmp_path, "upnext/tasks/handle.py", "from upnext.client import submit")
    assert list(layers(tmp_path)) == []
    write(tmp_path, "upnext/client/submit.py", "from upnext.tasks import handle")
    assert len(list(layers(tmp_path))) == 1


@pytest.mark.parametrize("word", ["keys", "args", "result"])
def test_a_script_whose_header_leaves_something_out_is_caught(tmp_path: Path, word: str) -> None:
    header = " ".join({"keys", "args", "result"} - {word})
    write(tmp_path, "upnext/store/claim.py", "")
    write(tmp_path, "upnext/store/lua/claim.lua", f"-- {header}\nreturn {{ {word} }}")
    assert [breach.split()[-1] for breach in scripts(tmp_path)] == [word]


def test_what_keeps_the_rules_passes(tmp_path: Path) -> None:
    write(tmp_path, "upnext/worker/ports.py", "from upnext.store import store")
    write(tmp_path, "upnext/worker/supervisor.py", "import anyio\ng = anyio.create_task_group()")
    write(tmp_path, "upnext/cli/loader.py", "from upnext import Worker, run")
    write(tmp_path, "upnext/redis/link.py", "with move_on_after(2, shield=True): ...")
    write(tmp_path, "upnext/redis/pool.py", "CancelScope(deadline=d, shield=True)\nimport redis")
    write(tmp_path, "upnext/testing/memory.py", "from upnext.worker.ports import Claims")
    write(tmp_path, "upnext/store/claim.py", "__all__ = ['LIMIT', 'Claim', 'claim']\nclaim = 1")
    write(tmp_path, "upnext/__init__.py", "from upnext.runner import run\n__all__ = ['run']")
    write(tmp_path, "upnext/store/lua/claim.lua", "-- KEYS[1] s; ARGV: n\n-- Returns jobs\n")
    with (tmp_path / "upnext/store/claim.py").open("a") as claim:
        claim.write("\nLIMIT = 1\nclass Claim: ...\n")
    for rule in (layers, ports, loops, lengths, task_groups, shields, scripts, exports):
        assert list(rule(tmp_path)) == []


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
