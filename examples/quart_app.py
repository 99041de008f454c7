"""A Quart app that submits jobs and knows nothing more of UpNext: no `Api`, any ASGI server.

    upnext run examples/quart_app.py                          the worker, in one terminal
    python examples/quart_app.py                              the app, in another one
    curl -X POST http://localhost:8003/greetings/Ada

Importing a task and awaiting `submit` is all there is to it: nothing is opened at the start of the
app and nothing is closed at its end. So it is in any async code, whatever serves it.
"""

from __future__ import annotations

import os

from quart import Quart

import upnext

app = Quart(__name__)
worker = upnext.Worker("greeter")


@worker.task
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@app.post("/greetings/<name>")
async def order_greeting(name: str) -> tuple[dict[str, str], int]:
    future = await greet.submit(name)
    return {"job_id": future.job_id}, 202


@app.get("/greetings/<job_id>")
async def read_greeting(job_id: str) -> tuple[dict[str, str], int]:
    try:
        return {"greeting": await greet.future(job_id).value(timeout=5)}, 200
    except upnext.JobNotFoundError:
        return {"detail": "there is no such job"}, 404


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8003")))
