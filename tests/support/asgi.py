"""Requests to an ASGI application as a server makes them, with paths no client would send."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import anyio
from attrs import define, field


@define
class Answer:
    status: int = 0
    headers: dict[str, str] = field(factory=dict)
    chunks: list[bytes] = field(factory=list)
    ended: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


def http_scope(
    path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", query: str = ""
) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


async def ask(
    app: Any,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    query: str = "",
) -> Answer:
    """Make one request and check that what comes back is a whole answer."""
    answer = Answer()

    async def receive() -> dict[str, Any]:
        if not answer.ended:
            await anyio.sleep(math.inf)  # a client that stays
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        await anyio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            assert not answer.status
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            assert len(answer.headers) == len(message["headers"])
        else:
            assert answer.status
            assert not answer.ended
            answer.chunks.append(message.get("body", b""))
            answer.ended = not message.get("more_body", False)

    await app(http_scope(path, headers, method=method, query=query), receive, send)
    assert answer.ended
    length = answer.headers.get("content-length")
    if length is not None and method != "HEAD":
        assert int(length) == len(answer.body)
    return answer
