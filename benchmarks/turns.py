"""Latency is measured in turns: all are up at once, and one after the other has the machine.

A shared machine is twice as slow in one minute as in another, which is more than contestants differ
by. In turns of a few seconds that falls on everybody alike.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from typing import IO, Any

TURN_LIMIT = 120.0
"""Seconds one turn may take, or the start before the first one."""


class Seat:
    """One contestant's processes, between its turns.

    Args:
        process: Of `sample.Subject.latency`; its stdin and stdout are pipes.
        log: What it writes to stderr.
    """

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process = process
        self._log = log

    def ready(self) -> None:
        """Wait until it can begin.

        Raises:
            RuntimeError: It failed; its last words are the message.
        """
        if (line := self._line()) != "ready":
            raise RuntimeError(f"not ready: {line}")

    def turn(self) -> dict[str, Any]:
        """Have it measure once; the fields are those of `arrivals.Turn`.

        Raises:
            RuntimeError: It failed; its last words are the message.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        self.ready()
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        alarm = threading.Timer(TURN_LIMIT, self._process.terminate)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            self._log.seek(0)
            raise RuntimeError(self._log.read().strip()[-800:] or "it ended")
        return line.strip()


def percentiles(nanoseconds: Sequence[int]) -> dict[str, float]:
    """Return p50, p99 and the maximum in milliseconds (nearest rank)."""
    ordered = sorted(nanoseconds)

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6

    return {"p50": rank(0.5), "p99": rank(0.99), "max": ordered[-1] / 1e6}


def summary(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a contestant's turns come to: percentiles over all of them, and those of each."""
    kinds = {"ping": "ping_ms", "start": "start_ms", "result": "result_ms"}
    kinds["lateness"] = "arrival_lateness_ms"

    def of(chosen: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            shown: percentiles([took for turn in chosen for took in turn[kind]])
            for kind, shown in kinds.items()
        }

    return {
        **of(turns),
        "unanswered": sum(turn["unanswered"] for turn in turns),
        "turns": [of([turn]) for turn in turns],
    }
