"""A new project: what its files say, and all of them on disk or none."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from importlib import metadata, resources
from pathlib import Path
from tempfile import TemporaryDirectory

from upnext import __version__
from upnext.cli.explain import FAILURE, CommandError

__all__ = ["check_name", "check_place", "files_of", "write_files"]

FILES = (
    "service.py",
    "tests/test_service.py",
    "pyproject.toml",
    "README.md",
    "Dockerfile",
    "compose.yaml",
    ".dockerignore",
    ".env.example",
    ".gitignore",
)
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)


def check_name(name: str) -> str:
    """The name of a new project, as package indexes and containers spell it: `my-shop`.

    Args:
        name: As somebody typed it.

    Raises:
        CommandError: No package can have this name, or one has it that UpNext needs.
    """
    if not _NAME.fullmatch(name):
        raise CommandError(
            f"{name!r} cannot be the name of a package: it takes letters and digits, and . _ -"
            " between them. Give another one with --name."
        )
    name = _normal(name)
    if name in _packages():
        raise CommandError(
            f"{name!r} is the name of a package that the project needs."
            " Give another one with --name."
        )
    return name


def files_of(name: str) -> dict[str, str]:
    """The files of a new project, by their paths in it.

    Args:
        name: What `check_name` returned.
    """
    templates = resources.files("upnext.cli") / "templates"
    made: dict[str, str] = {}
    for path in FILES:
        # Stored under names that no tool takes for its own file: not .gitignore, not test_*.py.
        text = templates.joinpath(*f"{path.removeprefix('.')}.tmpl".split("/")).read_text("utf-8")
        made[path] = text.replace("@name@", name).replace("@version@", __version__)
    return made


def check_place(directory: Path, paths: Collection[str], *, force: bool) -> None:
    """See that files can be written there, and whether that would overwrite any.

    Args:
        directory: Where to.
        paths: Of the files, in it.
        force: Whether files that are there may be overwritten.

    Raises:
        CommandError: Something is in the way; the line names it.
    """
    for path in paths:
        target = directory / path
        if os.path.isdir(target):
            raise CommandError(f"{target} is a directory, and a file has to go there.")
        above = next(folder for folder in target.parents if os.path.lexists(folder))
        if not os.path.isdir(above):
            raise CommandError(f"{above} is a file, and a directory has to go there.")
    there = [path for path in paths if os.path.lexists(directory / path)]
    if there and not force:
        raise CommandError(
            f"There is {', '.join(there)} in {directory} already:"
            " name another directory, or overwrite with --force."
        )


def write_files(directory: Path, files: Mapping[str, str]) -> None:
    """Write all files, or none: what fails on the way is undone.

    They are written beside their places first, so that a full disk is found out before anything
    of the user's is touched.

    Args:
        directory: Where to; made if it is not there.
        files: Their texts, by their paths in it. What is there is overwritten.

    Raises:
        CommandError: It cannot be written to; one line says why.
    """
    try:
        with ExitStack() as unmake:
            _make(directory, unmake)
            with (
                TemporaryDirectory(
                    prefix=".upnext-init-", dir=directory, ignore_cleanup_errors=True
                ) as aside,
                ExitStack() as undo,
            ):
                new, old = Path(aside, "new"), Path(aside, "old")
                for path, text in files.items():
                    for folder in (new, old):
                        (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (new / path).write_text(text, "utf-8")
                for path in files:
                    _make((directory / path).parent, undo)
                    _place(new / path, directory / path, old / path, undo)
                undo.pop_all()
            unmake.pop_all()
    except OSError as error:
        why = error.strerror or error
        raise CommandError(
            f"The project cannot be written to {directory}: {why}.", code=FAILURE
        ) from None


def _make(directory: Path, undo: ExitStack) -> None:
    if not os.path.isdir(directory):
        _make(directory.parent, undo)
        directory.mkdir()
        undo.callback(directory.rmdir)


def _place(new: Path, target: Path, old: Path, undo: ExitStack) -> None:
    if os.path.lexists(target):
        target.rename(old)
        undo.callback(old.rename, target)
    new.rename(target)
    undo.callback(target.unlink)


def _packages() -> set[str]:
    """UpNext, and what it is installed with: pip would put one in the place of the other."""
    try:
        needed = metadata.requires("upnext") or []
    except metadata.PackageNotFoundError:  # not installed: run where its source lies
        needed = []
    found = (re.match(r"[\w.-]+", requirement) for requirement in needed)
    return {"upnext", *(_normal(match[0]) for match in found if match)}


def _normal(name: str) -> str:
    return re.sub(r"[._-]+", "-", name).lower()
