"""A FastAPI app that exists already, served beside its workers: `Api.from_asgi`.

    upnext run examples/fastapi_app.py
    curl -X POST 'http://localhost:8002/thumbnails?url=https://example.org/a.png'

Its routes stay FastAPI's own. The app gets health routes, deadlines, limits on bodies, tracking,
and an orderly end: open requests first, then the jobs.
"""

from __future__ import annotations

import os
from typing import Annotated

import anyio
from fastapi import FastAPI, HTTPException, Query

import upnext

app = FastAPI(title="thumbnails")
worker = upnext.Worker("pictures", concurrency=8)
api = upnext.Api.from_asgi(app, port=int(os.environ.get("PORT", "8002")))


@worker.task(retries=2, timeout=30)
async def make_thumbnail(url: str, width: int) -> str:
    await anyio.sleep(0.05)
    return f"{url}?width={width}"


@app.post("/thumbnails", status_code=202)
async def order_thumbnail(url: str, width: Annotated[int, Query(ge=16, le=1024)] = 128):
    future = await make_thumbnail.submit(url, width)
    return {"job_id": future.job_id}


@app.get("/thumbnails/{job_id}")
async def read_thumbnail(job_id: str, wait: Annotated[float, Query(ge=0, le=10)] = 5.0):
    try:
        return {"url": await make_thumbnail.future(job_id).value(timeout=wait)}
    except TimeoutError:
        raise HTTPException(409, "it is not ready") from None
    except upnext.JobNotFoundError:
        raise HTTPException(404, "there is no such job") from None


if __name__ == "__main__":
    raise SystemExit(upnext.run(api, worker))
