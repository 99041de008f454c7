"""A job's output in a browser while the job runs: `ctx.stream` here, `upnext.sse` there.

    upnext run examples/streaming.py        and open http://localhost:8005

What the browser missed while it was cut off comes when it is back, in order and once. Several may
listen to one job, and the job goes on if none does.
"""

from __future__ import annotations

import os

import anyio
from quart import Response

import upnext

api = upnext.Api("stories", port=int(os.environ.get("PORT", "8005")))
worker = upnext.Worker("teller", concurrency=8)

STORY = """Once upon a time there was a queue. Whoever came was let in, and whoever was let in was
served. One day the house burnt down. They wrote their names into the ashes, stood where they had
stood, and when the house was there again, they were served, each of them once."""

PAGE = """<!doctype html>
<html lang="en">
<title>A story</title>
<style>body { font: 1.2rem/1.6 serif; max-width: 36rem; margin: 4rem auto }</style>
<h1>A story</h1>
<button>Tell me one</button> <progress max="1" value="0"></progress>
<p id="story"></p><p id="end"></p>
<script>
const at = (selector) => document.querySelector(selector)
at("button").onclick = async () => {
  const { job_id } = await (await fetch("/stories", { method: "POST" })).json()
  const events = new EventSource(`/stories/${job_id}/events`)
  const on = (name, act) => events.addEventListener(name, (e) => act(JSON.parse(e.data)))
  at("#story").textContent = at("#end").textContent = ""
  on("output", (word) => { at("#story").textContent += word + " " })
  on("progress", ({ fraction }) => { at("progress").value = fraction })
  on("result", ({ status, error }) => { at("#end").textContent = error ?? status })
  on("end", () => events.close())
}
</script>
</html>
"""


@worker.task(retries=1, timeout=60)
async def tell(pause: float) -> int:
    """Send a word at a time."""
    context = upnext.get_current_context()
    words = STORY.split()
    for number, word in enumerate(words, 1):
        await context.stream(word)
        context.set_progress(number / len(words))
        await anyio.sleep(pause)
    return len(words)


@api.get("/", include_in_schema=False)
async def page() -> Response:
    return Response(PAGE, content_type="text/html; charset=utf-8")


@api.post("/stories", status_code=202)
async def begin(pause: float = 0.1) -> dict[str, str]:
    """Begin to tell a story."""
    return {"job_id": (await tell.submit(min(1.0, max(0.0, pause)))).job_id}


@api.get("/stories/{job_id}/events")
async def events(job_id: str) -> Response:
    """Follow it, from the beginning or from where the browser was cut off."""
    return upnext.sse(tell.future(job_id))


if __name__ == "__main__":
    raise SystemExit(upnext.run(api, worker))
