"""The `.upnext` directory: where the embedded server's files lie, private to their owner."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import attrs

from upnext.redis.embedded_lock import FileLock

__all__ = ["SOCKET_PATH_LIMIT", "Place"]

# sockaddr_un.sun_path with its closing NUL: 108 bytes on Linux (unix(7)), 104 on macOS. The
# smaller one holds on both.
SOCKET_PATH_LIMIT = 103

_PRIVATE = 0o700


@attrs.frozen
class Place:
    """Paths and locks of one embedded server.

    Three lock files, each one question:
    `starting.lock`: may I start or stop the server? Held alone, and only while doing that.
    `users.lock`: who needs the server? Each user holds it shared; whoever can have it alone is
        the last one.
    `server.lock`: does the server live? Inherited by the server process, held alone until it is
        gone.
    """

    root: Path

    @classmethod
    def open(cls, directory: Path) -> Place:
        """Make `.upnext` in `directory` if it is missing, and close it to everybody but its owner.

        Symbolic links are resolved, so that all users agree on how long the socket's path is.

        Raises:
            OSError: It cannot be made or entered (read-only, or another user's).
        """
        root = directory.resolve() / ".upnext"
        root.mkdir(mode=_PRIVATE, exist_ok=True)
        if stat.S_IMODE(root.stat().st_mode) != _PRIVATE:
            root.chmod(_PRIVATE)
        ignore = root / ".gitignore"
        if not ignore.exists():
            ignore.touch(mode=0o600)
            ignore.write_text("# Data of the embedded UpNext broker.\n*\n")
        return cls(root)

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @property
    def pid_file(self) -> Path:
        """Written by the server, for people; nothing here trusts a pid."""
        return self.root / "server.pid"

    def starting(self) -> FileLock:
        return FileLock(self.root / "starting.lock")

    def users(self) -> FileLock:
        return FileLock(self.root / "users.lock")

    def server(self) -> FileLock:
        return FileLock(self.root / "server.lock")

    def socket(self) -> Path:
        """Where the socket is: beside the data if the path fits, else in a short directory.

        Call it under `starting`. The short directory is recorded in `.upnext/socket-directory`,
        because processes that share the server may have different TMPDIRs.
        """
        beside = self.root / "server.sock"
        if len(os.fsencode(beside)) <= SOCKET_PATH_LIMIT:
            return beside
        record = self._socket_record
        if record.exists() and _is_ours(short := Path(record.read_text().strip())):
            return short / "server.sock"
        short = _short_directory()
        record.write_text(f"{short}\n")
        return short / "server.sock"

    def clear_socket(self) -> None:
        """Remove the short directory, if any. Call it under `starting`, with the server gone."""
        record = self._socket_record
        if not record.exists():
            return
        short = Path(record.read_text().strip())
        if _is_ours(short):
            (short / "server.sock").unlink(missing_ok=True)
            short.rmdir()
        record.unlink()

    @property
    def _socket_record(self) -> Path:
        return self.root / "socket-directory"


def _short_directory() -> Path:
    made = Path(tempfile.mkdtemp(prefix="upnext-"))
    if len(os.fsencode(made / "server.sock")) <= SOCKET_PATH_LIMIT:
        return made
    made.rmdir()  # a TMPDIR that is itself too long
    return Path(tempfile.mkdtemp(prefix="upnext-", dir="/tmp"))


def _is_ours(directory: Path) -> bool:
    """Whether nobody else can put a socket there: /tmp is everybody's, and names are reused."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and stat.S_IMODE(found.st_mode) == _PRIVATE
    )
