"""The user program that is measured: what `upnext run` is given."""

from __future__ import annotations

import time

import upnext

worker = upnext.Worker("bench")


@worker.task
async def noop(n: int) -> int:
    return n


@worker.task
async def stamp() -> int:
    return time.time_ns()
