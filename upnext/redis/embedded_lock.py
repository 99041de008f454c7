"""Whole-file locks that the kernel lets go of when their holder dies, however it dies.

`flock` belongs to an open file, not to a process id, which gives the embedded server three things
no pid file can: a user killed with -9 stops counting at once, a number that was used again for
another process is never mistaken for a server, and a server that inherited a lock proves by
holding it that it lives.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["FileLock"]

# Open lock files of this process. Written by FileLock, read by a forked child, which closes its
# copies: it would otherwise hold its parent's locks for as long as it lives, and count as a user
# it never became.
_open_locks: set[FileLock] = set()


class FileLock:
    """One open lock file. Two objects on one path exclude each other, also within a process."""

    def __init__(self, path: Path) -> None:
        """Open `path`, creating it readable by its owner alone.

        Raises:
            OSError: The file cannot be opened.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.is_open = True  # False after close(), and in a forked child
        self._lent = False  # True once a child process is to hold it beyond close()
        _open_locks.add(self)

    def lend(self) -> int:
        """The open file, for a child process that inherits it and holds the lock beyond `close`."""
        self._lent = True
        return self._descriptor

    def exclusive(self) -> Self:
        """Wait until nobody else holds the file, then hold it alone. Blocks the thread."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def shared(self) -> Self:
        """Hold the file together with others. Blocks the thread while one holds it alone."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        return self

    def try_exclusive(self) -> bool:
        """Hold the file alone if nobody else has it; say whether that worked.

        A shared hold of this same object is given up either way: the kernel converts a lock by
        dropping it first.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go, unless a child process was lent the lock. May be called twice."""
        if self.is_open and not self._lent:
            # Closing alone would leave it with a child forked just now that has not yet got
            # round to closing its copy.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Close the file and leave the lock with the other processes that have it open."""
        if self.is_open:
            self.is_open = False
            _open_locks.discard(self)
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _forget_in_fork() -> None:
    for lock in list(_open_locks):
        lock.forget()


os.register_at_fork(after_in_child=_forget_in_fork)
