"""The user program that is measured: what `upnext run` is given. Its port is BENCH_PORT."""

from __future__ import annotations

import os

import upnext

api = upnext.Api("bench-http", port=int(os.environ["BENCH_PORT"]))
worker = upnext.Worker("bench-jobs")


@worker.task
async def job(n: int) -> int:
    return n


@api.get("/noop")
async def noop() -> dict[str, bool]:
    return {"ok": True}


@api.post("/submit")
async def submit() -> dict[str, str]:
    future = await job.submit(1)
    return {"job": future.job_id}
