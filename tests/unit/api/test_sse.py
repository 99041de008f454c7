"""A job as server-sent events."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import orjson
import quart

from tests.support.asking import asking
from tests.unit.client.test_following import speaking
from upnext import Api, sse
from upnext.model.identity import new_job_id
from upnext.model.outcome import Ending

Events = list[tuple[str, str, Any]]


def read(answer: httpx.Response) -> Events:
    """The events of an answer: name, id, data."""
    found: Events = []
    for block in answer.text.split("\n\n"):
        if block and not block.startswith(":"):
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            found.append((fields["event"], fields["id"], orjson.loads(fields["data"])))
    return found


def api_of() -> Api:
    api = Api("events")

    @api.get("/jobs/{job}")
    async def events(job: str, keepalive: float = 15.0) -> quart.Response:
        return sse(job, keepalive=keepalive)

    return api


async def test_a_job_is_told_from_beginning_to_end() -> None:
    async with speaking() as job, asking(api_of()) as client:
        await job.progress(b"0.5", "half")
        await job.log("hello\nthere")
        await job.stream(b'{"row": 1}', b"2")
        await job.end()
        answer = await client.get(f"/jobs/{job.job.id}")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    events = read(answer)
    by_name = [(name, data) for name, _, data in events]
    assert [data for name, data in by_name if name == "output"] == [{"row": 1}, 2]
    [line] = [data for name, data in by_name if name == "log"]
    assert (line["message"], line["level"]) == ("hello\nthere", "INFO")
    [progress] = [data for name, data in by_name if name == "progress"]
    assert (progress["fraction"], progress["message"]) == (0.5, "half")
    assert events[-2][0] == "result"
    assert events[-2][2] == {"status": "complete", "error": None, "value": None}
    assert events[-1] == ("end", "over", None)


async def test_a_browser_that_comes_back_hears_what_it_missed() -> None:
    async with speaking() as job, asking(api_of()) as client:
        await job.stream(*[b"%d" % n for n in range(5)])
        await job.end()
        path = f"/jobs/{job.job.id}"
        events = read(await client.get(path))
        place = next(place for name, place, data in events if (name, data) == ("output", 2))
        events = read(await client.get(path, headers={"Last-Event-ID": place}))
        assert [data for name, _, data in events if name == "output"] == [3, 4]
        # After the end it is told not to come again.
        answer = await client.get(path, headers={"Last-Event-ID": "over"})
        assert answer.status_code == 204
        # What no listener of ours said counts as nothing.
        events = read(await client.get(path, headers={"Last-Event-ID": "o=1/2/3;l="}))
        assert [data for name, _, data in events if name == "output"] == [0, 1, 2, 3, 4]


async def test_a_failure_is_told_in_words_and_an_unknown_job_as_an_error() -> None:
    async with speaking() as job, asking(api_of()) as client:
        await job.end(Ending.FAILED)
        name, _, data = read(await client.get(f"/jobs/{job.job.id}"))[-2]
        assert (name, data["status"], data["value"]) == ("result", "failed", None)
        assert set(data) == {"status", "error", "value"}
        events = read(await client.get("/jobs/work-unknown"))
        assert [name for name, _, _ in events] == ["error", "end"]
        assert "'work-unknown' is not a job id" in events[0][2]["error"]
        events = read(await client.get(f"/jobs/{new_job_id('work')}"))
        assert [name for name, _, _ in events] == ["error", "end"]
        assert "no job work-" in events[0][2]["error"]


async def test_silence_is_broken_by_comments_and_nothing_is_left_when_the_client_leaves() -> None:
    async with speaking() as job:  # fails if a listener is left open
        sent: list[bytes] = []
        enough = anyio.Event()
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": f"/jobs/{job.job.id}",
            "query_string": b"keepalive=0.001",
            "headers": [],
        }
        given = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if given:
                return given.pop()
            await enough.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if sent.count(b": keepalive\n\n") == 3:
                enough.set()

        await api_of().asgi()(scope, receive, send)
        assert sent.count(b": keepalive\n\n") >= 3
