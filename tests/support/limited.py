"""Tasks with limits, for worker processes of tests. Each start and end is a line in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import anyio

import upnext

worker = upnext.Worker("limited", concurrency=6)


def note(task: str, what: str, about: str = "") -> None:
    """Append `<task> <what> <seconds on the machine's one clock> <about>`."""
    line = f"{task} {what} {time.monotonic():.6f} {about}\n"
    file = os.open(os.environ["TEST_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@worker.task(max_concurrency=7)
async def few(seconds: float) -> None:
    note("few", "start")
    await anyio.sleep(seconds)
    note("few", "end")


@worker.task(rate_limit="200/s")
async def steady() -> None:
    note("steady", "start")


@worker.task(max_concurrency=4, concurrency_key="{tenant}")
async def shared(tenant: str, seconds: float) -> None:
    note("shared", "start", tenant)
    await anyio.sleep(seconds)


@worker.task(routing_group="api", group_max_concurrency=5)
async def one_api(seconds: float) -> None:
    note("group", "start")
    await anyio.sleep(seconds)
    note("group", "end")


@worker.task(routing_group="api", group_max_concurrency=5)
async def other_api(seconds: float) -> None:
    note("group", "start")
    await anyio.sleep(seconds)
    note("group", "end")


class Lines:
    """What the tasks wrote."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, task: str) -> list[tuple[float, str, str]]:
        """(moment, what, about), in the order of time."""
        rows = [line.split(" ") for line in self.path.read_text().splitlines()]
        return sorted((float(row[2]), row[1], row[3]) for row in rows if row[0] == task)

    def at_once(self, task: str) -> tuple[int, float]:
        """The most that ran at once, and how many did on average between the first tenth and the
        last tenth of the starts."""
        running = most = 0
        area = before = 0.0
        rows = self.of(task)
        low, high = rows[len(rows) // 10][0], rows[-len(rows) // 10][0]
        for at, what, _ in rows:
            if low <= before and at <= high:
                area += running * (at - before)
            before = at
            running += 1 if what == "start" else -1
            most = max(most, running)
        return most, area / (high - low)
