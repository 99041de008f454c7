"""Real servers whose wall clock stands still and moves only when a test says so."""

from __future__ import annotations

import atexit
import mmap
import shutil
import struct
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.servers import Kind, RedisServer

START = 1_800_000_000_000
"""Unix milliseconds at which every such clock starts."""

_SOURCE = Path(__file__).with_name("clock_shim.c")


@cache
def clock_shim() -> Path | None:
    """The compiled shim, or None where it cannot be had: no compiler, or not Linux."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    folder = tempfile.mkdtemp(prefix="upnext-clock-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = Path(folder) / "clock_shim.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", target, _SOURCE], check=True, timeout=60
    )
    return target


class ClockedServer(RedisServer):
    """A server that reads the time from a file of ours.

    Raises:
        FileNotFoundError: no server program, or no compiler for the shim.
    """

    def __init__(self, kind: Kind = "redis", **options: Any) -> None:
        super().__init__(kind, **options)
        shim = clock_shim()
        if shim is None:
            raise FileNotFoundError("no C compiler for the clock shim on this machine")
        self._shim = shim
        path = self.directory / "clock"
        path.write_bytes(struct.pack("q", START * 1000))
        self._clock_path = path
        with path.open("r+b") as file:
            self._clock = mmap.mmap(file.fileno(), 8)

    @property
    def now(self) -> int:
        """The server's time, Unix milliseconds."""
        [microseconds] = struct.unpack("q", self._clock[:])
        return microseconds // 1000

    def advance(self, milliseconds: int) -> None:
        """Let time pass, or set the clock back; the next command finds it so."""
        self._clock[:] = struct.pack("q", (self.now + milliseconds) * 1000)
        if self.kind == "valkey":
            self._await_clock()

    def _await_clock(self) -> None:
        # Valkey reads the wall clock now and then and counts on by itself in between, so there
        # its time also runs ahead of ours, by less than a few milliseconds.
        with self.client() as client:
            while True:
                seconds, microseconds = client.time()
                ahead = seconds * 1000 + microseconds // 1000 - self.now
                if 0 <= ahead < 1_000:
                    return

    def close(self) -> None:
        super().close()
        self._clock.close()

    def _command(self) -> list[str]:
        settings = [f"LD_PRELOAD={self._shim}", f"CLOCK_FILE={self._clock_path}"]
        return ["env", *settings, *super()._command()]
