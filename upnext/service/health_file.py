"""The file that says that a service works, for probes that ask no broker."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from attrs import field, frozen

__all__ = ["STALE", "HealthFile"]

STALE = 30.0
"""Seconds after which a file that was not touched says nothing any more."""
_NAME = ".upnext_alive"


@frozen
class HealthFile:
    """A file whose age is what it says, and whose content is the process that touched it last."""

    path: Path
    _process: str = field(factory=lambda: str(os.getpid()), repr=False)

    @classmethod
    def at(cls, path: str | None) -> HealthFile:
        """The file at a path; None: `.upnext_alive` in the folder for temporary files."""
        return cls(Path(tempfile.gettempdir(), _NAME) if path is None else Path(path))

    def touch(self) -> None:
        """Make it new.

        By a new file in its place: in a folder that all may write to, what lies there may be
        somebody else's link to a file of ours.

        Raises:
            OSError: it cannot be written.
        """
        descriptor, beside = tempfile.mkstemp(prefix=f"{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self._process)
            os.replace(beside, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(beside)
            raise

    def remove(self) -> None:
        """Remove it, unless another process has touched it since.

        Raises:
            OSError: it cannot be removed.
        """
        with suppress(FileNotFoundError):
            if self.path.read_text(encoding="utf-8") == self._process:
                self.path.unlink()

    def age(self) -> float | None:
        """Seconds since it was touched; None when it is not there.

        Raises:
            OSError: it cannot be looked at.
        """
        try:
            return time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return None
