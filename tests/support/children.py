"""Child processes of tests: scripts to run, and knowing when a process has ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from textwrap import dedent

import anyio

from upnext.api.static.command import Step

LIMIT = 10.0
"""Seconds after which what has not happened is taken to never happen."""


def script(folder: Path, name: str, text: str) -> Step:
    """Write a Python program; the command that runs it."""
    path = folder / name
    path.write_text(dedent(text))
    return Step((sys.executable, "-u", str(path)))


def stand_in(folder: Path, name: str, text: str) -> Path:
    """Put an executable of this name into a folder for PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{dedent(text)}")
    path.chmod(0o755)
    return path


class Watched:
    """A process of another parent, which the kernel tells us about."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    async def ended(self) -> None:
        """Wait until it is gone or a zombie."""
        try:
            with anyio.fail_after(LIMIT):
                await anyio.wait_readable(self._descriptor)
        finally:
            os.close(self._descriptor)


class Lines:
    """What a child writes, and waiting for it."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._more = anyio.Event()

    def __call__(self, line: str) -> None:
        self.all.append(line)
        self._more.set()
        self._more = anyio.Event()

    async def find(self, start: str) -> str:
        """Wait for a line that starts so, and return what comes after."""
        with anyio.fail_after(LIMIT):
            while True:
                more = self._more
                for line in self.all:
                    if line.startswith(start):
                        return line.removeprefix(start)
                await more.wait()
