"""Who runs, and how a sample of each is taken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.server import redis_server
from benchmarks.turns import Seat
from benchmarks.venvs import PEERS, python_of

ROOT = Path(__file__).parent.parent

SAMPLE_LIMIT = 300.0
"""Seconds a sample may take."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One line of the table.

    Args:
        name: Folder of a peer, or "limit" or "upnext".
        backend: asyncio, uvloop (asyncio on it; SAQ, taskiq and streaQ always are), trio, or
            threads.
    """

    name: str
    backend: str

    @property
    def label(self) -> str:
        """Name and backend."""
        return f"{self.name} ({self.backend})"

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody else's library."""
        return self.name not in ("limit", "upnext")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The samples that are taken of it."""
        if self.name == "limit":
            return ("throughput",)
        return ("throughput", "latency") if self.is_peer else ("throughput", "latency", "memory")

    def take(self, kind: str, knobs: Mapping[str, str]) -> dict[str, object]:
        """Take one sample: fresh processes, fresh server.

        Raises:
            RuntimeError: The sample failed; its last words are the message.
        """
        load = os.getloadavg()[0]
        with self._started(kind, knobs, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=SAMPLE_LIMIT)
            except subprocess.TimeoutExpired:
                raise RuntimeError(f"not finished after {SAMPLE_LIMIT:.0f} s") from None
        if process.returncode:
            raise RuntimeError(err.strip()[-800:] or f"exit code {process.returncode}")
        return {"load_before": load, **json.loads(out.splitlines()[-1])}

    @contextmanager
    def seat(self, knobs: Mapping[str, str]) -> Iterator[Seat]:
        """Start what measures latency in turns, on a fresh server; it ends with the block."""
        with (
            tempfile.TemporaryFile("w+") as log,
            self._started("latency", knobs, stdin=subprocess.PIPE, stderr=log) as process,
        ):
            yield Seat(process, log)

    @contextmanager
    def _started(
        self, kind: str, knobs: Mapping[str, str], **pipes: int | IO[str]
    ) -> Iterator[subprocess.Popen[str]]:
        with redis_server() as url:
            env = os.environ | knobs
            env |= {"BENCH_REDIS_URL": url, "BENCH_BACKEND": self.backend, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(
                self._command(kind),
                cwd=PEERS / self.name if self.is_peer else ROOT,
                env=env,
                stdout=subprocess.PIPE,
                text=True,
                **pipes,
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)  # it ends its worker first
                    process.communicate()

    def _command(self, kind: str) -> list[str]:
        if self.is_peer:
            return [str(python_of(self.name)), "bench.py", kind]
        ours = {"throughput": "throughput", "latency": "latency", "memory": "throughput"}
        module = "limit" if self.name == "limit" else ours[kind]
        return [sys.executable, "-m", f"benchmarks.{module}", kind]


CONTESTANTS = [
    Contestant("limit", "asyncio"),
    Contestant("limit", "uvloop"),
    Contestant("limit", "trio"),
    Contestant("upnext", "asyncio"),
    Contestant("upnext", "uvloop"),
    Contestant("upnext", "trio"),
    Contestant("saq", "asyncio"),
    Contestant("taskiq", "asyncio"),
    Contestant("streaq", "asyncio"),
    Contestant("streaq", "trio"),
    Contestant("dramatiq", "threads"),
    Contestant("celery", "threads"),
]
