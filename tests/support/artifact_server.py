"""A real HTTP server that takes artifacts, and fails in every way it is told to."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from anyio.lowlevel import checkpoint
from attrs import define, field

BIG = bytes(range(256)) * 8192
"""2 MiB."""


async def in_pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        await checkpoint()
        yield content[start : start + size]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@define
class Request:
    """One upload, as far as it came."""

    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@define
class ArtifactServer:
    """Answers each request by the next line of its script; at the end of it, all is well.

    A line is a status, a status with headers or a JSON object, "silent" (takes all and says
    nothing), "drop" (cuts the connection half way through the content), "drop answer" (stores it
    and cuts the connection), or "wrong hash".
    """

    script: list[Any] = field(factory=list)
    requests: list[Request] = field(factory=list)
    stored: dict[str, Request] = field(factory=dict)
    """By artifact id: what a real server would have."""
    port: int = 0
    arrived: threading.Event = field(factory=threading.Event)
    """Set once a request for silence has come."""
    release: threading.Event = field(factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def artifact_server(*script: Any) -> Iterator[ArtifactServer]:
    """Run one in a thread."""
    server = ArtifactServer(list(script))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
            request = Request(parts.path, parameters, dict(self.headers.items()))
            server.requests.append(request)
            line = server.script.pop(0) if server.script else 201
            size = int(self.headers["Content-Length"])
            self.close_connection = True
            if line == "drop":
                request.body = self.rfile.read(size // 2)
                return
            if line == "early":
                self._answer(413, {"error": "at most 10 bytes"}, {})
                self.wfile.flush()
                self.rfile.read(size)  # a reset would take the answer with it
                return
            request.body = self.rfile.read(size)
            if len(request.body) < size:
                return  # the client broke off
            if line == "silent":
                server.arrived.set()
                server.release.wait(20)
                return
            if line == "drop answer":
                server.stored[parameters["id"]] = request
                return
            status, told, headers = line, {}, {}
            if isinstance(line, tuple):
                status, extra = line
                is_headers = all(name.istitle() for name in extra)
                told, headers = ({}, extra) if is_headers else (extra, {})
            digest = hashlib.sha256(request.body).hexdigest()
            if line == "wrong hash":
                status, digest = 201, "0" * 64
            if status < 300:
                server.stored[parameters["id"]] = request
                told = told or {"id": parameters["id"], "sha256": digest, "size_bytes": size}
            self._answer(status, told, headers)

        def _answer(self, status: int, told: dict[str, Any], headers: dict[str, str]) -> None:
            body = json.dumps(told).encode()
            self.send_response(status)
            for name, value in {**headers, "Connection": "close"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that went away is what some tests are about

    with Server(("127.0.0.1", 0), Handler) as http:
        server.port = http.server_port
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            http.shutdown()
            thread.join()
