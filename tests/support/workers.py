"""Worker processes for tests: started, signalled, killed, and read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICE = Path(__file__).with_name("service.py")
STARTED = "started as"


class WorkerProcess:
    """One `python -m upnext run` of the test service.

    Its output is read by a thread all the time, so that a test can wait for a line of it.
    """

    def __init__(
        self,
        url: str | None,
        *options: str,
        env: Mapping[str, str] | None = None,
        program: Path = SERVICE,
        command: str = "run",
        cwd: Path = ROOT,
    ) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        broker = [] if url is None else ["--redis-url", url]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "upnext", command, str(program), *broker, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, text: str, within: float = 30.0, count: int = 1) -> str:
        """The first line that contains a text; or that one of a count which completes it."""

        def found() -> str | None:
            return next(
                islice((line for line in self.lines if text in line), count - 1, None), None
            )

        with self._news:
            if not self._news.wait_for(lambda: found() or self.process.poll() is not None, within):
                raise TimeoutError(f"no {text!r} within {within} s in:\n{self.output}")
        line = found()
        assert line is not None, f"ended without {text!r}:\n{self.output}"
        return line

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def exit_code(self, within: float = 30.0) -> int:
        """Wait for the end."""
        code = self.process.wait(within)
        self._reader.join(5)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.kill()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        self.process.wait()
        with self._news:
            self._news.notify_all()


@contextmanager
def workers(
    url: str, ledger: Path, env: Mapping[str, str] | None = None, program: Path = SERVICE
) -> Iterator[Callable[..., WorkerProcess]]:
    """Start workers with `start(*options)`, ready when it returns; they end with the block."""
    started: list[WorkerProcess] = []

    def start(*options: str, ready: bool = True) -> WorkerProcess:
        settings = {"TEST_LEDGER": str(ledger), **(env or {})}
        worker = WorkerProcess(url, *options, env=settings, program=program)
        started.append(worker)
        if ready:
            worker.wait_for(STARTED)
        return worker

    try:
        yield start
    finally:
        for worker in started:
            worker.close()


class Ledger:
    """What the jobs wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[tuple[str, str, int, int]]:
        """(event, job id, attempt, process id), oldest first."""
        if not self.path.exists():
            return []
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [(row[0], row[1], int(row[2]), int(row[3])) for row in rows]

    def count(self, event: str) -> int:
        return sum(entry[0] == event for entry in self.entries())

    def starts(self) -> dict[str, list[int]]:
        """Job id -> process ids that started it, in order."""
        starts: dict[str, list[int]] = defaultdict(list)
        for event, job_id, _, pid in self.entries():
            if event == "start":
                starts[job_id].append(pid)
        return starts

    def wait_for(self, event: str, count: int = 1, within: float = 30.0) -> None:
        """Wait until jobs wrote this event so often. Files have no signal: this one looks."""
        until = time.monotonic() + within
        while self.count(event) < count:
            assert time.monotonic() < until, f"{self.count(event)} of {count} {event} lines"
            time.sleep(0.01)
