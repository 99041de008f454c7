"""Who serves, and how one sample of each is taken."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.http.load import press
from benchmarks.observe import Worker, running
from benchmarks.server import free_port, redis_server
from benchmarks.venvs import PEERS, python_of

ROOT = Path(__file__).parent.parent.parent
APP = Path(__file__).with_name("app.py")

START_LIMIT = 30.0
"""Seconds a server may take until it answers."""
METHODS = {"noop": "GET", "submit": "POST"}
"""The handlers; each has its path, `/noop` and `/submit`."""


@dataclass(frozen=True, slots=True)
class Server:
    """One line of the table.

    Args:
        name: Folder of a peer, or "upnext".
        backend: asyncio, uvloop (asyncio on it) or trio.
        handlers: Those that it has.
    """

    name: str
    backend: str
    handlers: tuple[str, ...] = ("noop", "submit")

    @property
    def label(self) -> str:
        """Name and backend."""
        return f"{self.name} ({self.backend})"

    def take(self, handler: str, connections: int, warm_up: float, seconds: float) -> Any:
        """Take one sample: a fresh server process, a fresh Redis, no worker.

        Raises:
            RuntimeError: The sample failed; its last words are the message.
        """
        load = os.getloadavg()[0]
        with redis_server() as redis_url, self._running(redis_url) as (url, server):
            url, method = f"{url}/{handler}", METHODS[handler]
            press(url, method, connections, warm_up)
            before = _cpu_seconds(server.process.pid)
            sample = press(url, method, connections, seconds)
            used = _cpu_seconds(server.process.pid) - before
            server.check()
            if handler == "submit" and (there := _waiting(redis_url)) < sample["requests"]:
                raise RuntimeError(f"{there} jobs wait after {sample['requests']} submits")
        return sample | {
            "load_before": load,
            "requests_per_s": sample["requests"] / sample["seconds"],
            "cpu_us": used / sample["requests"] * 1e6,
        }

    @contextmanager
    def _running(self, redis_url: str) -> Iterator[tuple[str, Worker]]:
        port = free_port()
        env = {"BENCH_BACKEND": self.backend, "BENCH_REDIS_URL": redis_url}
        env |= {"BENCH_PORT": str(port), "PYTHONPATH": str(ROOT)}
        with running(self._command(port, redis_url), env) as server:
            _wait_for(server, port)
            yield f"http://127.0.0.1:{port}", server

    def _command(self, port: int, redis_url: str) -> list[str]:
        if self.name != "upnext":
            return [str(python_of(self.name)), str(PEERS / self.name / "app.py"), str(port)]
        command = [sys.executable, "-m", "upnext", "run", str(APP), "--only", "bench-http"]
        command += ["--redis-url", redis_url]
        command += ["--async-backend", "trio" if self.backend == "trio" else "asyncio"]
        return [*command, "--uvloop"] if self.backend == "uvloop" else command


def _wait_for(server: Worker, port: int) -> None:
    give_up = time.monotonic() + START_LIMIT
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/noop")
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return
            server.check(f"answered {answer.status}")
        except OSError:
            pass
        finally:
            connection.close()
        server.check("no answer" if time.monotonic() > give_up else None)
        time.sleep(0.02)


def _cpu_seconds(pid: int) -> float:
    """What a process has used of all cores, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _waiting(redis_url: str) -> int:
    """The jobs on the queue, ours or arq's."""
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        lanes = redis.scan_iter(match="upnext:{*}:lane:*", _type="stream", count=10_000)
        return int(redis.zcard("arq:queue")) + sum(int(redis.xlen(lane)) for lane in lanes)


SERVERS = [
    Server("upnext", "asyncio"),
    Server("upnext", "uvloop"),
    Server("upnext", "trio"),
    Server("quart", "asyncio", ("noop",)),
    Server("quart", "trio", ("noop",)),
    Server("fastapi_arq", "asyncio"),
    Server("fastapi_arq", "uvloop"),
]
