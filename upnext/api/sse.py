"""A job's news as server-sent events: progress, logs, output and result, for a browser."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
from attrs import define, field, frozen
from quart.globals import request
from quart.wrappers import Response
from quart.wrappers.response import ResponseBody
from redis.exceptions import RedisError

from upnext.api.answers import dump
from upnext.api.bounded import Bounded
from upnext.client.following import Following
from upnext.client.future import Future
from upnext.client.result import TaskExecutionError
from upnext.errors import CodecError, JobNotFoundError, OutputLostError

__all__ = ["sse"]

logger = logging.getLogger("upnext.api")

KEEPALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""
MOST_WAITING = 64
"""Events that the browser has not taken; then no more are read from the queue."""
_END, _OVER = "end", "over"
_ID = re.compile(r"o=([\d/-]*);l=([\d/-]*)")
_LINES = re.compile(rb"\r\n|\r|\n")


def sse(
    job: Future[Any] | str,
    *,
    progress: bool = True,
    logs: bool = True,
    output: bool = True,
    keepalive: float = KEEPALIVE,
) -> Response:
    """Stream a job to the client of this request as server-sent events.

        @api.get("/jobs/{id}/events")
        async def events(id: str) -> quart.Response:
            return upnext.sse(id)

    The events are `progress`, `log`, `output`, `lost` (output that is not kept any more), then
    `result` or `error`, and `end`, on which the browser closes its `EventSource`. A browser that
    was cut off comes back with `Last-Event-ID` and hears what follows. The job goes on when the
    client leaves.

    Args:
        job: The job, or its id.
        progress: Whether to send how far it is.
        logs: Whether to send its log lines.
        output: Whether to send what it streams.
        keepalive: Seconds of silence after which a comment is sent.

    Returns:
        The response to return from the handler.

    Raises:
        RuntimeError: called outside of a request.
    """
    future = Future[Any](job) if isinstance(job, str) else job
    last_id = request.headers.get("Last-Event-ID", "")
    if last_id == _OVER:
        return Response(b"", 204)  # the browser takes it for an end
    places = _ID.fullmatch(last_id)
    after_output, after_log = (places[1], places[2]) if places else ("", "")
    told = _Told(future)
    if progress:
        told.followers.append(("progress", future.progress()))
    if logs:
        told.followers.append(("log", future.logs(after_log)))
    if output:
        told.followers.append(("output", future.stream(after_output)))
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    body = _Events(told, _Parts(told.events, keepalive, after_output, after_log))
    return Response(body, headers=cast("Any", headers), content_type="text/event-stream")


@frozen
class _Event:
    name: str
    data: Any
    position: str = ""
    """Where a reader of logs or output goes on behind it."""

    def encode(self, id: str) -> bytes:
        data = _LINES.sub(b"\ndata: ", dump(self.data))
        return b"event: %s\nid: %s\ndata: %s\n\n" % (self.name.encode(), id.encode(), data)


@define(eq=False)
class _Told:
    """Reads all that a job says into one bounded queue."""

    future: Future[Any]
    followers: list[tuple[str, Following[Any]]] = field(
        factory=list[tuple[str, Following[Any]]], init=False
    )
    events: Bounded[_Event | None] = field(
        factory=lambda: Bounded[_Event | None](MOST_WAITING), init=False
    )
    """None: there is no more."""

    async def run(self) -> None:
        """Read until the job is over, and tell how it ended."""
        try:
            async with anyio.create_task_group() as readers:
                for name, follower in self.followers:
                    readers.start_soon(self._follow, name, follower)
            await self.events.put(_Event("result", await self._result()))
            await self.events.put(_Event(_END, None))
        except* JobNotFoundError as group:
            # Told as the end, or the browser would ask for it forever.
            await self.events.put(_Event("error", {"error": str(group.exceptions[0])}))
            await self.events.put(_Event(_END, None))
        except* (RedisError, OSError) as group:
            logger.warning("job %s: its listener was cut off: %s", self.future.job_id, group)
        await self.events.put(None)

    async def _follow(self, name: str, follower: Following[Any]) -> None:
        while True:
            try:
                async for item in follower:
                    await self.events.put(_Event(name, item, follower.position))
            except OutputLostError as error:
                await self.events.put(_Event("lost", {"missing": error.missing}))
            else:
                return

    async def _result(self) -> dict[str, Any]:
        try:
            result = await self.future.result()
        except TaskExecutionError as error:
            # Without the traceback, which is none of a client's business.
            return {"status": error.status, "error": error.error, "value": None}
        except CodecError as error:
            return {"status": "complete", "error": str(error), "value": None}
        return {"status": result.status, "error": None, "value": result.value}


class _Events(ResponseBody):
    """The body of the response: events as they come, comments in between.

    Reading goes on in a task of a group that is open while the body is sent, and so ends with it.
    """

    def __init__(self, told: _Told, parts: _Parts) -> None:
        self._told = told
        self._parts = parts
        self._open = self._reading()

    async def __aenter__(self) -> AsyncIterator[bytes]:
        return await self._open.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self._open.__aexit__(error[0], error[1], error[2])

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[AsyncIterator[bytes]]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._told.run)
            yield self._parts
            group.cancel_scope.cancel()


@define(eq=False)
class _Parts:
    """The parts of the body, one at a time; knows where whoever was cut off goes on."""

    events: Bounded[_Event | None]
    keepalive: float
    output: str
    log: str

    def __aiter__(self) -> _Parts:
        return self

    async def __anext__(self) -> bytes:
        event: _Event | None = None
        with anyio.move_on_after(self.keepalive) as silent:
            event = await self.events.get()
        if silent.cancelled_caught:
            return b": keepalive\n\n"
        if event is None:
            raise StopAsyncIteration
        match event.name:
            case "output":
                self.output = event.position
            case "log":
                self.log = event.position
            case _:
                pass
        return event.encode(_OVER if event.name == _END else f"o={self.output};l={self.log}")
