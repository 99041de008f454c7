"""Programs in processes of their own: started, waited for by what they print, signalled."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path


class Program:
    """One Python program. Its output is read by a thread all the time, so that a test can wait
    for a line of it."""

    def __init__(self, *words: str | Path, cwd: Path, env: Mapping[str, str]) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=env,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, text: str, within: float = 30.0) -> str:
        """The first line that contains a text."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._news:
            if not self._news.wait_for(lambda: found() or self.process.poll() is not None, within):
                raise TimeoutError(f"no {text!r} within {within} s in:\n{self.output}")
        line = found()
        assert line is not None, f"ended without {text!r}:\n{self.output}"
        return line

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self, within: float = 30.0) -> int:
        """Wait for the end."""
        code = self.process.wait(within)
        self._reader.join(5)
        return code

    def close(self) -> None:
        """End it, unless it has ended."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.exit_code()
        assert self.process.stdout is not None
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
