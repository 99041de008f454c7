"""Files below a root, and no others, whatever names and links say."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

from upnext.api.static.names import is_hidden

__all__ = ["locate", "open_located", "real_directory"]

_HERE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW


def real_directory(path: Path) -> Path | None:
    """The directory with every link resolved; None if there is none."""
    try:
        real = path.resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return real if real.is_dir() else None


def locate(root: Path, names: Sequence[str]) -> tuple[tuple[str, ...], int] | None:
    """Follow links and return the real names below the root and the file's mode.

    None if there is nothing, if a link leads out of the root, or to a hidden name in it.
    """
    try:
        real = root.joinpath(*names).resolve(strict=True)
        if not real.is_relative_to(root):
            return None
        found = real.relative_to(root).parts
        return None if is_hidden(found) else (found, real.stat().st_mode)
    except (OSError, ValueError, RuntimeError):  # a loop, a name too long, one that is no text
        return None


def open_located(root: Path, names: Sequence[str]) -> BufferedReader | None:
    """Open a regular file by the names that `locate` gave; None if it is not there any more.

    It goes down one name at a time and follows no link, so a link that was put there meanwhile
    leads nowhere.
    """
    if not names or any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
        return None
    try:
        here = os.open(root, _HERE | os.O_DIRECTORY)
        try:
            for name in names[:-1]:
                below = os.open(name, _HERE | os.O_DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
            # A pipe with no writer would keep an open() waiting.
            file = os.open(names[-1], _HERE | os.O_NONBLOCK, dir_fd=here)
        finally:
            os.close(here)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    return os.fdopen(file, "rb")
