"""Over a real server and socket: what clients send comes as it is, and they may go away."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.children import LIMIT
from upnext.api.static import StaticMounts

pytest.importorskip("hypercorn")

SECRET = b"the secret beside the root"


@asynccontextmanager
async def served(app: Any, backend: str) -> AsyncGenerator[int]:
    """Serve an application with Hypercorn; yields the port."""
    from hypercorn.config import Config

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = logging.getLogger("hypercorn.test")
    sockets = config.create_sockets()
    sockets.insecure_sockets[0].listen()  # so that nobody comes too early
    port = sockets.insecure_sockets[0].getsockname()[1]
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]
    stop = anyio.Event()
    if backend == "trio":
        from hypercorn.trio import serve
    else:
        from hypercorn.asyncio import serve  # type: ignore[assignment]
    async with anyio.create_task_group() as group:
        group.start_soon(partial(serve, app, config, shutdown_trigger=stop.wait))
        yield port
        stop.set()


async def exchange(port: int, request: bytes) -> bytes:
    with anyio.fail_after(LIMIT):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request)
            answer = b""
            try:
                while True:
                    answer += await stream.receive()
            except anyio.EndOfStream:
                return answer


def get(target: str, *headers: str) -> bytes:
    lines = [f"GET {target} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


@pytest.fixture
def mounts(tmp_path: Path) -> StaticMounts:
    root = tmp_path / "root"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_bytes(b"page")
    (root / "assets" / "app.js").write_bytes(b"0123456789")
    (tmp_path / "secret.txt").write_bytes(SECRET)
    mounts = StaticMounts()
    mounts.add("/", directory=root)
    return mounts


async def test_requests(mounts: StaticMounts, anyio_backend: str) -> None:
    async with served(mounts.serve, anyio_backend) as port:
        whole = await exchange(port, get("/assets/app.js"))
        assert whole.startswith(b"HTTP/1.1 200")
        assert whole.endswith(b"\r\n\r\n0123456789")
        part = await exchange(port, get("/assets/app.js", "Range: bytes=2-4"))
        assert part.startswith(b"HTTP/1.1 206")
        assert part.endswith(b"\r\n\r\n234")
        head = await exchange(port, get("/assets/app.js").replace(b"GET", b"HEAD"))
        assert b"content-length: 10\r\n" in head
        assert head.endswith(b"\r\n\r\n")
        same = await exchange(port, get("/assets/app.js", "If-None-Match: *"))
        assert same.startswith(b"HTTP/1.1 304")
        assert same.endswith(b"\r\n\r\n")


async def test_no_target_leads_out(
    mounts: StaticMounts, anyio_backend: str, tmp_path: Path
) -> None:
    secret = str(tmp_path / "secret.txt")
    async with served(mounts.serve, anyio_backend) as port:
        for target in (
            "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt",
            "/..%5csecret.txt", "/%252e%252e%252fsecret.txt", "/assets/../../secret.txt",
            f"/{secret}", secret, f"/{secret}%00.js", "/..%00/secret.txt",
            "/%c0%ae%c0%ae/secret.txt", "/assets/..;/..;/secret.txt", "/file:%2f%2f" + secret,
            "/C:%5csecret.txt",
        ):  # fmt: skip
            answer = await exchange(port, get(target, "Accept: text/html"))
            assert SECRET not in answer, target
            status, body = answer.split()[1], answer.rpartition(b"\r\n\r\n")[2]
            assert (status, body) in {(b"404", b"Not Found"), (b"200", b"page")}, target


async def test_a_client_that_leaves_ends_the_reading(
    mounts: StaticMounts, anyio_backend: str, tmp_path: Path
) -> None:
    with (tmp_path / "root" / "large.bin").open("wb") as file:
        file.truncate(10 * 2**30)
    ended = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await mounts.serve(scope, receive, send)
        finally:
            if scope["type"] == "http":
                ended.set()

    async with served(app, anyio_backend) as port:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(get("/large.bin"))
            await stream.receive()
        with anyio.fail_after(LIMIT):  # the whole file would take longer
            await ended.wait()
