"""A Redis server of our own for each sample: free port, empty, no persistence, gone afterwards."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

START_LIMIT = 10.0
"""Seconds a server may take until it answers."""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary() -> str:
    """Return the server to run: redis-server, or valkey-server where that is what is installed."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise RuntimeError("benchmarks need redis-server or valkey-server on PATH")
    return found


def version() -> str:
    """Return the first line the server prints about itself."""
    return subprocess.run(
        [binary(), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()


@contextmanager
def redis_server() -> Iterator[str]:
    """Run an empty server and yield its URL.

    No snapshots and no append-only file: the disk of the machine is not what is compared, and it
    is the same for everybody. TCP on the loopback, because not every peer takes a unix socket.
    """
    port = free_port()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "save": "",
        "appendonly": "no",
        "loglevel": "warning",
    }
    with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
        command = [binary(), "--dir", folder]
        for name, value in options.items():
            command += [f"--{name}", value]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(process, port)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + START_LIMIT
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"{binary()} did not start on port {port}")
        time.sleep(0.01)
