"""Answer an ASGI request with a file: conditions, ranges, chunks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import anyio
from anyio import to_thread
from werkzeug.http import parse_range_header
from werkzeug.sansio.http import is_resource_modified

from upnext.api.static.representation import Representation

__all__ = ["App", "Receive", "Scope", "Send", "answer", "header", "send_file"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CHUNK = 64 * 1024


def header(scope: Scope, name: bytes) -> str | None:
    """A request header, its repetitions joined as HTTP says; None without it."""
    found = [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]
    return ", ".join(found) if found else None


async def answer(
    send: Send, status: int, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> None:
    """Send a whole answer; the length of a body is added."""
    length = [("content-length", str(len(body)))] if body else []
    await _start(send, status, [*headers, *length])
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_file(this: Representation, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a GET or HEAD with an open file: 200, 206, 304 or 416.

    It is read in chunks, in threads, and no further than the client takes them. Reading ends when
    the client goes away. The file stays open: whoever opened it closes it.

    Raises:
        OSError: The file cannot be read, or became shorter than it was.
    """
    if not is_resource_modified(
        http_if_modified_since=header(scope, b"if-modified-since"),
        http_if_none_match=header(scope, b"if-none-match"),
        etag=this.etag,
        last_modified=this.last_modified,
    ):
        await answer(send, 304, this.headers.items())
        return
    headers = {**this.headers, **this.described}
    window = _window(this, scope)
    if window is None:
        whole = f"bytes */{this.size}"
        headers = {**this.headers, "content-range": whole, "content-length": "0"}
        await answer(send, 416, headers.items())
        return
    start, stop, status = window
    if status == 206:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{this.size}"
    headers["content-length"] = str(stop - start)
    if scope["method"] == "HEAD":
        await answer(send, status, headers.items())
        return
    await _start(send, status, headers.items())
    if stop - start <= CHUNK:
        await _send_chunks(this, start, stop, send)
        return
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
        await _send_chunks(this, start, stop, send)
        group.cancel_scope.cancel()


def _window(this: Representation, scope: Scope) -> tuple[int, int, int] | None:
    """Where to start, where to stop, and the status; None for a range that is not there.

    Several ranges in one request, other units and what cannot be read are answered with the whole
    file, which RFC 9110 allows.
    """
    whole = 0, this.size, 200
    if scope["method"] != "GET":
        return whole
    # Strong comparison: a weak tag never equals a strong one, and a date has to be the same.
    if header(scope, b"if-range") not in (None, this.etag, this.last_modified):
        return whole
    asked = parse_range_header(header(scope, b"range"))
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return whole
    start, stop = asked.ranges[0]
    if start < 0:  # the last so many bytes
        start = max(0, start + this.size)
    stop = this.size if stop is None else min(stop, this.size)
    return (start, stop, 206) if start < stop else None


async def _start(send: Send, status: int, headers: Iterable[tuple[str, str]]) -> None:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def _send_chunks(this: Representation, start: int, stop: int, send: Send) -> None:
    while True:
        body = await to_thread.run_sync(_read, this, start, min(CHUNK, stop - start))
        start += len(body)
        await send({"type": "http.response.body", "body": body, "more_body": start < stop})
        if start >= stop:
            return


def _read(this: Representation, start: int, size: int) -> bytes:
    this.file.seek(start)
    body = this.file.read(size)
    if len(body) < size:
        raise OSError("the file became shorter while it was sent")
    return body


async def _cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # the body of a GET, which says nothing
    scope.cancel()
