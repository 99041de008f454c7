"""Which folders and files are source of the user's."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

__all__ = ["folders_below", "local_folders", "matters", "may_hold_source"]

IGNORED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
"""Folders without source of the user's; those that begin with a dot are left out, too."""
_OURS = os.fspath(Path(__file__).parents[1])
SUFFIXES = (".py", ".so")


def matters(path: str) -> bool:
    """Whether a change of this file is one of the program."""
    name = os.path.basename(path)
    return name == ".env" or (name.endswith(SUFFIXES) and not name.startswith("."))


def folders_below(root: str) -> Iterator[str]:
    """The folders in which source may lie, the root first. Links are not followed."""
    for folder, below, files in os.walk(root):
        if "pyvenv.cfg" in files:
            below.clear()
            continue
        yield folder
        below[:] = sorted(filter(may_hold_source, below))


def local_folders() -> list[str]:
    """Where this process imported modules from that are neither Python's nor installed."""
    installed = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib")]
    foreign = tuple(os.path.join(folder, "") for folder in [*installed, _OURS])
    found: set[str] = set()
    for module in list(sys.modules.values()):
        # Not by getattr: some entries of sys.modules import things when they are asked.
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and not file.startswith(foreign):
            folder = os.path.dirname(os.path.abspath(file))
            if not {"site-packages", "dist-packages"} & set(Path(folder).parts):
                found.add(folder)
    return sorted(found)


def may_hold_source(name: str) -> bool:
    """Whether a folder of this name is one of the user's source."""
    return name not in IGNORED and not name.startswith(".")
