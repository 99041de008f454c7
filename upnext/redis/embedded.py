"""A real Valkey that runs beside the program, for when no URL is given.

One server for each directory, shared by every process that is started there. It lies in
`.upnext/`: a unix socket (no TCP port), an append-only file, a log; private to the user who
started it. Whoever comes first starts it, whoever leaves last stops it, and it survives everybody
in between, kill -9 included, because users are counted by locks that the kernel releases (see
`embedded_lock`). If *all* users were killed it stays up until the next one leaves.

Durability. Every write is in the append-only file before it is acknowledged, and the file is synced
once a second (`appendfsync everysec`). The server killed with -9 comes back with every acknowledged
job. A power cut can lose the last second or two of writes; where that matters, use a server of your
own with `appendfsync always`.

Processes. Forked children drop their parent's holds and become users of their own when they first
ask. Spawned ones (AnyIO's worker processes, subprocesses) look in their own working directory, or
in UPNEXT_EMBEDDED_DIR: a program that runs jobs sets it from `EmbeddedServer.environment`, so that
a later `chdir` parts nobody from the server.

Everything here blocks the calling thread: for milliseconds as a rule, for as long as a large file
takes to read back at worst (about 30 seconds, then it is an error). From async code call it through
`anyio.to_thread.run_sync`.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from upnext.redis.embedded_lock import FileLock
from upnext.redis.embedded_place import Place
from upnext.redis.embedded_process import EmbeddedServerError, ensure_running, stop, version

__all__ = [
    "DIRECTORY_VARIABLE",
    "EmbeddedServer",
    "EmbeddedServerError",
    "embedded",
    "embedded_url",
    "revive",
]

DIRECTORY_VARIABLE: Final = "UPNEXT_EMBEDDED_DIR"


class EmbeddedServer:
    """One user's hold on the shared server of a directory. Made by `embedded`."""

    def __init__(self, place: Place, socket: Path) -> None:
        self._place = place
        self._socket = socket
        self._version = version(socket)

    @property
    def directory(self) -> Path:
        """The directory that holds `.upnext`."""
        return self._place.root.parent

    @property
    def url(self) -> str:
        """The server's address: `unix://` and the socket's path."""
        return f"unix://{quote(os.fspath(self._socket))}"

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs in its environment to share this server, wherever it runs."""
        return {DIRECTORY_VARIABLE: os.fspath(self.directory)}

    def describe(self) -> str:
        """One line for people: what runs, where the data is, how to use another server."""
        return (
            f"Embedded {self._version}: data in {self._place.root}, shared by every process"
            f" started in {self.directory}; the last one out stops it."
            " Set UPNEXT_REDIS_URL to use your own Redis or Valkey."
        )

    def revive(self) -> None:
        """Start the server again on the same data and socket if it died.

        For whoever owns a connection that broke. Nothing happens if the server answers. Any number
        of users may call it at once: one starts it. Blocks the thread, about 30 seconds at most.

        Raises:
            EmbeddedServerError: It does not come up, or its socket had to move.
        """
        with self._place.starting().exclusive():
            socket = ensure_running(self._place)
        if socket != self._socket:
            raise EmbeddedServerError(f"The embedded server moved from {self._socket} to {socket}.")


@contextmanager
def embedded(directory: Path | None = None) -> Generator[EmbeddedServer]:
    """Share the embedded server of `directory` for the length of the block.

    Args:
        directory: Where `.upnext` lies. Default: UPNEXT_EMBEDDED_DIR, else the working directory.

    Raises:
        EmbeddedServerError: No server can run here; the message says why and what to do.
    """
    chosen = _directory(directory)
    try:
        place = Place.open(chosen)
        users = place.users()
    except OSError as error:
        raise EmbeddedServerError(
            f"No embedded server in {chosen}: {error.strerror} ({error.filename})."
        ) from error
    with users:
        try:
            with place.starting().exclusive():
                users.shared()
                socket = ensure_running(place)
            yield EmbeddedServer(place, socket)
        finally:
            _leave(place, users)


def embedded_url(directory: Path | None = None) -> str:
    """The URL of the embedded server of `directory`, shared until this process exits.

    For producers that just `await submit()`: the first call joins or starts the server, later
    ones are a look-up.

    Args:
        directory: Where `.upnext` lies. Default: UPNEXT_EMBEDDED_DIR, else the working directory.

    Raises:
        EmbeddedServerError: No server can run here; the message says why and what to do.
    """
    chosen = _directory(directory)
    with _until_exit.guard:
        if (server := _until_exit.servers.get(chosen)) is None:
            server = _until_exit.stack.enter_context(embedded(chosen))
            _until_exit.servers[chosen] = server
        return server.url


def revive(url: str) -> bool:
    """`EmbeddedServer.revive` for a server known by its URL alone.

    Returns:
        False if this process did not get `url` from `embedded_url`, so that there is nothing it
        could start.

    Raises:
        EmbeddedServerError: The server does not come up.
    """
    with _until_exit.guard:
        server = next((held for held in _until_exit.servers.values() if held.url == url), None)
    if server is None:
        return False
    server.revive()
    return True


class _UntilExit:
    """What `embedded_url` holds for the rest of the process."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.servers: dict[Path, EmbeddedServer] = {}
        self.stack = ExitStack()

    def start_over(self) -> None:
        """Forget it in a forked child, where the guard may be held by a thread left behind."""
        self.__init__()

    def leave(self) -> None:
        with self.guard:
            self.servers.clear()
            self.stack.close()


def _directory(directory: Path | None) -> Path:
    return Path(directory or os.environ.get(DIRECTORY_VARIABLE) or Path.cwd()).resolve()


def _leave(place: Place, users: FileLock) -> None:
    if not users.is_open:
        return  # a forked child at the end of its parent's block: it was never a user
    with place.starting().exclusive():
        if users.try_exclusive():
            stop(place)


_until_exit = _UntilExit()
os.register_at_fork(after_in_child=_until_exit.start_over)
atexit.register(_until_exit.leave)
