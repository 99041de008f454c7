"""What is seen from outside: how many jobs are finished, how big the worker is.

Standard library only, because it runs inside each peer's own environment.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SAMPLE_INTERVAL = 0.005
"""Seconds between two looks at the counter: 200 O(1) commands a second, the same for everybody."""

STALL_LIMIT = 30.0
"""Seconds without progress after which a sample has failed."""


class Observer:
    """One blocking connection that asks for integers (DBSIZE, XLEN, ZCARD, LLEN)."""

    def __init__(self, url: str, db: int = 0) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=10)
        self._file = self._socket.makefile("rb")
        if db:
            self._ask("SELECT", str(db))

    def integer(self, *command: str) -> int:
        """Send one command and return its integer reply."""
        reply = self._ask(*command)
        if not reply.startswith(b":"):
            raise RuntimeError(f"{' '.join(command)} answered {reply!r}")
        return int(reply[1:])

    def _ask(self, *command: str) -> bytes:
        parts = [f"*{len(command)}\r\n"]
        parts += [f"${len(word.encode())}\r\n{word}\r\n" for word in command]
        self._socket.sendall("".join(parts).encode())
        return self._file.readline().rstrip()


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process that runs while the sample lasts."""

    process: subprocess.Popen[bytes]
    log: Path

    def check(self, reason: str | None = None) -> None:
        """Raise with the end of the worker's log if it died, or for the reason given."""
        code = self.process.poll()
        if code is not None:
            reason = f"worker exited with {code}"
        if reason is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{reason}; its log ends:\n{tail}")

    def resident_kib(self) -> int:
        """Return the resident memory of the process in KiB (VmRSS)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError("no VmRSS: this needs Linux's /proc")


@contextmanager
def running(command: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Worker]:
    """Start one worker in a process group of its own and end the whole group afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-worker-") as folder:
        log = Path(folder, "log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        try:
            yield Worker(process, log)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, limit in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
            process.wait(limit)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@dataclass(frozen=True, slots=True)
class Drain:
    """Jobs that finished between two looks, and the seconds between them."""

    jobs: int
    seconds: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds


def drain(
    worker: Worker,
    finished: Callable[[], int],
    jobs: int,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Drain:
    """Watch until all jobs are finished.

    The clock starts at the first look that finds something finished and ends at the first one
    that finds everything finished, so nobody pays for the start of an interpreter.

    Args:
        worker: The process at work; its death ends the sample.
        finished: How many jobs are finished, results included.
        jobs: How many there are.
        on_progress: Called with the count after each look.

    Raises:
        RuntimeError: The worker died or made no progress for STALL_LIMIT seconds.
    """
    begun = None
    last, changed = 0, time.perf_counter()
    while True:
        done, now = finished(), time.perf_counter()
        on_progress(done)
        if done != last:
            last, changed = done, now
            begun = begun or (done, now)
        if begun and done >= jobs:
            if begun[1] == now:
                raise RuntimeError(f"{jobs} jobs were over within one look; take more")
            return Drain(jobs - begun[0], now - begun[1])
        if now - changed > STALL_LIMIT:
            worker.check(f"no progress for {STALL_LIMIT:.0f} s at {done} of {jobs} jobs")
        worker.check()
        time.sleep(SAMPLE_INTERVAL)
