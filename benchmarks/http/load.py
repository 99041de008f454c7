"""The load: wrk, which keeps some connections busy for some seconds."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("wrk.lua")


def binary() -> str:
    """Where wrk is.

    Raises:
        RuntimeError: It is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise RuntimeError("the HTTP benchmark needs wrk on PATH: apt-get install wrk")
    return found


def press(url: str, method: str, connections: int, seconds: float) -> dict[str, Any]:
    """Send requests from so many connections, each of which waits for its answers.

    Returns:
        requests, seconds, p50_ms, p99_ms.

    Raises:
        RuntimeError: An answer was no success, or wrk could not run.
    """
    command = [binary(), "--threads=1", f"--connections={connections}"]
    command += [f"--duration={seconds:.0f}s", f"--script={SCRIPT}", url, "--", method]
    wrk = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if wrk.returncode:
        raise RuntimeError(f"wrk failed: {(wrk.stderr or wrk.stdout).strip()[-500:]}")
    found: dict[str, Any] = json.loads(wrk.stdout.splitlines()[-1])
    if failed := found.pop("failed"):
        raise RuntimeError(f"{failed} of {found['requests']} requests failed")
    return found
