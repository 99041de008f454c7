"""Find the workers and APIs in the files and modules that a user names."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

import upnext
from upnext.cli.explain import FAILURE, CommandError, unknown
from upnext.errors import ConfigurationError
from upnext.tasks.modules import import_file, make_importable, real_name

if TYPE_CHECKING:
    from upnext.api.api import Api
    from upnext.client.handle import TaskHandle
    from upnext.worker.worker import Worker

C = TypeVar("C")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_MACHINERY = (
    upnext.__path__[0] + os.sep,
    os.path.dirname(importlib.__file__) + os.sep,
    "<frozen importlib",
)


@frozen
class Components:
    """What files declare."""

    workers: list[Worker]
    apis: list[Api]

    def choose(self, only: Sequence[str]) -> Components:
        """Those of these names; all of them when no name is given.

        Raises:
            CommandError: A name that none has.
        """
        if not only:
            return self
        names = [component.name for component in (*self.workers, *self.apis)]
        for name in only:
            if name not in names:
                raise unknown("worker or API" if self.apis else "worker", name, set(names))
        return Components(
            [worker for worker in self.workers if worker.name in only],
            [api for api in self.apis if api.name in only],
        )


def load_components(targets: Sequence[str]) -> Components:
    """Import files and modules, and collect their public workers and APIs, each once, in order.

    Args:
        targets: Paths of Python files, or names of modules (`package.module`) as importable from
            the working directory.

    Raises:
        CommandError: A target cannot be found or imported, or there is nothing in it.
    """
    modules = _load_modules(targets)
    found = Components(_workers_in(modules), _apis_in(modules))
    if not found.workers and not found.apis:
        raise CommandError(
            f"No Api or Worker found in {', '.join(targets)}:"
            " expected a module-level variable such as worker = upnext.Worker()."
        )
    return found


def load_workers(targets: Sequence[str]) -> list[Worker]:
    """`load_components` for whoever has no use for an API.

    Raises:
        CommandError: As there, or there is no worker.
    """
    workers = _workers_in(_load_modules(targets))
    if not workers:
        raise CommandError(
            f"No Worker found in {', '.join(targets)}:"
            " expected a module-level variable such as worker = upnext.Worker()."
        )
    return workers


def load_module(target: str) -> ModuleType:
    """Import one file or module that a user named.

    Raises:
        CommandError: It cannot be found, or its own code raised.
    """
    try:
        if (path := _path_of(target)) is not None:
            return import_file(path)
        if not _DOTTED.fullmatch(target):
            raise CommandError(
                f"There is no file {target or repr('')}, and no module can have that name."
            )
        return _import_dotted(target)
    except CommandError:
        raise
    except SystemExit as error:
        raise CommandError(
            f"{target} ended the program (exit code {error.code}) while it was imported:"
            ' put that under `if __name__ == "__main__":`.',
            code=FAILURE,
        ) from error
    except Exception as error:  # an import runs the user's code, which may raise anything
        raise _broken(target, error) from error


def folder_of(target: str) -> str:
    """The folder from which a file or module that a user named is importable. Imports nothing.

    Raises:
        CommandError: There is no such file.
    """
    path = _path_of(target)
    return os.getcwd() if path is None else os.fspath(real_name(path.absolute())[0])


def collect(modules: Iterable[ModuleType], kind: type[C]) -> list[C]:
    """The public module-level objects of a kind, each once however many modules import it."""
    found: dict[int, C] = {}
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, kind) and not name.startswith("_"):
                found.setdefault(id(value), value)
    return list(found.values())


def find_task(workers: Sequence[Worker], name: str) -> tuple[Worker, TaskHandle[..., Any]]:
    """The task of this name and the worker that declares it.

    Raises:
        CommandError: No worker has it.
    """
    for worker in workers:
        if (handle := tasks_of(worker).get(name)) is not None:
            return worker, handle
    raise unknown("task", name, [task for worker in workers for task in tasks_of(worker)])


def tasks_of(worker: Worker) -> dict[str, TaskHandle[..., Any]]:
    """All that a worker runs, by name: its tasks, then its crons."""
    return {**worker.tasks, **{handle.name: handle for handle in worker.crons}}


def own_frames(error: BaseException) -> str:
    """The error's traceback in the user's own code: without our frames and the importer's."""
    report = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    chain = [report]
    while chain:
        part = chain.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        kept = [frame for frame in part.stack if not frame.filename.startswith(_MACHINERY)]
        part.stack = traceback.StackSummary.from_list(kept)
        chain += [other for other in (part.__cause__, part.__context__) if other is not None]
        chain += part.exceptions or []
    return "".join(report.format())


def _load_modules(targets: Sequence[str]) -> list[ModuleType]:
    if not targets:
        raise CommandError("Name at least one file or module, such as app.py or package.module.")
    # Before any user's folder is importable: their redis.py is then not taken for the library.
    importlib.import_module("upnext.worker.worker")

    make_importable(Path.cwd())
    return [load_module(target) for target in targets]


def _workers_in(modules: Sequence[ModuleType]) -> list[Worker]:
    from upnext.worker.worker import Worker

    workers = collect(modules, Worker)
    for worker in workers:
        _discover(worker)
    return workers


def _apis_in(modules: Sequence[ModuleType]) -> list[Api]:
    # Who declares an API has imported what serves it; nobody else needs to.
    home = sys.modules.get("upnext.api.api")
    return [] if home is None else collect(modules, home.Api)


def _discover(worker: Worker) -> None:
    try:
        worker.discover()
    except ConfigurationError as error:
        details = "" if error.__cause__ is None else own_frames(error.__cause__)
        raise CommandError(str(error), code=FAILURE, details=details) from error


def _path_of(target: str) -> Path | None:
    """The Python file that this names; None: it is the name of a module."""
    path = Path(target).expanduser()
    if path.suffix == ".py" or os.sep in target or path.is_file() or _is_plain_folder(target):
        _check_file(path, target)
        return path
    return None


def _is_plain_folder(target: str) -> bool:
    # Python would import it as a namespace package, in which there is nothing.
    return os.path.isdir(target) and not os.path.exists(os.path.join(target, "__init__.py"))


def _check_file(path: Path, target: str) -> None:
    if path.is_dir():
        raise CommandError(
            f"{target} is a directory: name a file in it, or a module such as package.module."
        )
    if not path.exists():
        raise CommandError(f"There is no file {target} (looked in {Path.cwd()}).")
    if path.suffix != ".py":
        raise CommandError(f"{target} is not a Python file: its name does not end in .py.")


def _import_dotted(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The target itself or a package above it is missing; any other name is the user's bug.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise CommandError(
            f"There is no file or module {name} (looked in {Path.cwd()} and in {sys.prefix})."
        ) from None


def _broken(target: str, error: Exception) -> CommandError:
    kind = type(error).__name__
    said = " ".join(str(error).split())
    return CommandError(
        f"{target} cannot be imported: {kind}{f': {said}' if said else ''}",
        code=FAILURE,
        details=own_frames(error),
    )
