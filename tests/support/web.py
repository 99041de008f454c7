"""A service with an API and a worker for its jobs, as a user would write it."""

from __future__ import annotations

import os

import anyio

import upnext
from tests.support.service import note

worker = upnext.Worker("kitchen", concurrency=100)
api = upnext.Api("counter", port=0)


@worker.task
async def cook(seconds: float) -> int:
    note("start")
    await anyio.sleep(seconds)
    note("end")
    return os.getpid()


@api.get("/order/{seconds}")
async def order(seconds: float) -> int:
    """Wait for a job."""
    return await (await cook.submit(seconds)).value()


@api.get("/slow/{seconds}")
async def slow(seconds: float) -> str:
    """Wait for nobody."""
    await anyio.sleep(seconds)
    return "done"
