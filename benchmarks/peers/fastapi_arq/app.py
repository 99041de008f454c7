"""The two handlers on FastAPI, the second with arq: `app.py PORT`.

Settings: https://fastapi.tiangolo.com/deployment/manually/ (`uvicorn[standard]`, which brings
uvloop and httptools), https://www.uvicorn.org/settings/ (access_log), the pool in the lifespan as
https://arq-docs.helpmanual.io/#simple-usage opens it. hiredis is our addition.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI

PLAIN = os.environ["BENCH_BACKEND"] == "asyncio"
"""Whether it runs on the loop and the parser that ours runs on, not on the faster ones in C."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool of connections that `enqueue_job` takes one from."""
    app.state.arq = await create_pool(RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"]))
    yield
    await app.state.arq.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/noop")
async def noop() -> dict[str, bool]:
    return {"ok": True}


@app.post("/submit")
async def submit() -> dict[str, str]:
    job = await app.state.arq.enqueue_job("job", 1)
    return {"job": job.job_id}


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        access_log=False,
        loop="asyncio" if PLAIN else "uvloop",
        http="h11" if PLAIN else "httptools",
    )
