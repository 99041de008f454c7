"""Artifacts over a real HTTP server."""

from __future__ import annotations

import contextvars
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import upnext
from tests.support.artifact_server import BIG, ArtifactServer, free_port, in_pieces
from upnext import ArtifactError, ArtifactType, create_artifact, create_artifact_sync
from upnext.client import artifact_body, artifact_upload, artifacts
from upnext.contracts import artifacts as contract

pytestmark = pytest.mark.usefixtures("job")


async def test_a_value_is_uploaded_as_json(
    start: Callable[..., ArtifactServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    monkeypatch.setenv("UPNEXT_API_KEY", "secret")
    made = await create_artifact("Übersicht & more", {"a": [1, None]})
    (request,) = server.requests
    assert request.path == "/api/v1/jobs/make-1/artifacts"
    assert request.parameters == {
        "id": made.id,
        "name": "Übersicht & more",
        "type": "json",
        "attempt": "2",
    }
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {"a": [1, None]}
    assert made == upnext.Artifact(
        id=made.id,
        job_id="make-1",
        name="Übersicht & more",
        type=ArtifactType.JSON,
        content_type="application/json",
        size=len(request.body),
        sha256=hashlib.sha256(request.body).hexdigest(),
        where=f"{server.url}/api/v1/artifacts/{made.id}/content",
    )


@pytest.mark.parametrize("form", ["bytes", "bytearray", "path", "iterator"])
async def test_raw_content_arrives_as_it_is(
    start: Callable[..., ArtifactServer], tmp_path: Path, form: str
) -> None:
    server = start()
    path = tmp_path / "big.png"
    path.write_bytes(BIG)
    data = {"bytes": BIG, "bytearray": bytearray(BIG), "path": path, "iterator": in_pieces(BIG)}
    made = await create_artifact("big.png", data[form])
    (request,) = server.requests
    assert request.body == BIG
    assert request.headers["Content-Type"] == "image/png"
    assert (made.type, made.size) == (ArtifactType.PNG, len(BIG))
    assert made.sha256 == hashlib.sha256(BIG).hexdigest()


@pytest.mark.parametrize(("content", "body"), [(b"", b""), ("", b'""'), ({}, b"{}")])
async def test_little_is_enough(
    start: Callable[..., ArtifactServer], content: Any, body: bytes
) -> None:
    server = start()
    made = await create_artifact("little", content)
    (request,) = server.requests
    assert request.body == body
    assert made.size == len(request.body)


@pytest.mark.parametrize("told", [{}, {"sha256": None, "id": None}, {"status": "queued"}])
async def test_an_answer_need_not_say_much(
    start: Callable[..., ArtifactServer], told: dict[str, Any]
) -> None:
    server = start((202, told))
    made = await create_artifact("report", [1])
    assert made.where == f"{server.url}/api/v1/artifacts/{made.id}/content"
    assert len(server.requests) == 1


async def test_a_file_that_shrinks_meanwhile_is_sent_again(
    start: Callable[..., ArtifactServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    path = tmp_path / "log"
    path.write_bytes(BIG)
    chunk = artifact_body.Reader.chunk

    def shrink(self: artifact_body.Reader) -> bytes:
        if self.read and len(server.requests) < 2:
            os.truncate(path, 300_000)
        return chunk(self)

    monkeypatch.setattr(artifact_body.Reader, "chunk", shrink)
    made = await create_artifact("log", path)
    assert server.stored[made.id].body == BIG[:300_000]
    assert made.size == 300_000


async def test_a_file_that_cannot_be_read_is_an_error(
    start: Callable[..., ArtifactServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    path = tmp_path / "log"
    path.write_bytes(BIG)

    def fail(self: artifact_body.Reader) -> bytes:
        raise OSError("Input/output error")

    monkeypatch.setattr(artifact_body.Reader, "chunk", fail)
    with pytest.raises(ArtifactError, match="cannot be read: Input/output error"):
        await create_artifact("log", path)


async def test_a_stream_is_not_held_in_memory(
    start: Callable[..., ArtifactServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(500)
    monkeypatch.setattr(artifact_body, "IN_MEMORY", 1000)
    biggest = 0
    chunk = artifact_body.Reader.chunk

    def measured(self: artifact_body.Reader) -> bytes:
        nonlocal biggest
        read = chunk(self)
        biggest = max(biggest, len(read))
        assert getattr(self.body.file, "_rolled", False)  # it is on the disk
        return read

    monkeypatch.setattr(artifact_body.Reader, "chunk", measured)
    await create_artifact("big", in_pieces(BIG, 1_000_000))
    assert [request.body == BIG for request in server.requests] == [True, True]
    assert biggest == artifact_body.CHUNK


@pytest.mark.parametrize("trouble", [500, 503, 429, "drop", "drop answer", "wrong hash"])
async def test_passing_trouble_is_survived_and_makes_one_artifact(
    start: Callable[..., ArtifactServer], trouble: Any
) -> None:
    server = start(trouble, trouble)
    made = await create_artifact("big", BIG)
    assert len(server.requests) == 3
    assert {request.parameters["id"] for request in server.requests} == {made.id}
    assert list(server.stored) == [made.id]
    assert server.stored[made.id].body == BIG


async def test_trouble_that_does_not_pass_is_an_error(
    start: Callable[..., ArtifactServer],
) -> None:
    server = start(*[(500, {"error": "the disk\nis full"})] * 9)
    with pytest.raises(ArtifactError) as caught:
        await create_artifact("report", {})
    assert len(server.requests) == artifact_upload.ATTEMPTS
    assert caught.value.status == 500
    assert "'report' was not stored" in str(caught.value)
    assert "500 Internal Server Error: the disk is full, 4 times" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "UPNEXT_API_KEY"), (404, "UPNEXT_URL"), (422, "422"), (302, "302")]
)
async def test_a_refusal_is_an_error_at_once(
    start: Callable[..., ArtifactServer], status: int, hint: str
) -> None:
    server = start(status)
    with pytest.raises(ArtifactError, match=hint) as caught:
        await create_artifact("report", {})
    assert len(server.requests) == 1
    assert caught.value.status == status


async def test_a_refusal_half_way_is_understood(start: Callable[..., ArtifactServer]) -> None:
    server = start("early")
    with pytest.raises(ArtifactError, match=r"413.*at most 10 bytes.*larger than") as caught:
        await create_artifact("big", BIG)
    assert len(server.requests) == 1
    assert caught.value.status == 413


async def test_a_silent_server_is_given_up(
    start: Callable[..., ArtifactServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_upload, "TIMEOUT", httpx.Timeout(0.2))
    server = start(*["silent"] * 9)
    with pytest.raises(ArtifactError, match="ReadTimeout, 4 times"):
        await create_artifact("report", {})
    assert len(server.requests) == 4


async def test_a_cancelled_upload_ends(start: Callable[..., ArtifactServer]) -> None:
    server = start("silent")
    async with anyio.create_task_group() as group:

        async def send() -> None:
            await create_artifact("report", in_pieces(BIG))
            raise AssertionError("not reached")

        group.start_soon(send)
        assert await anyio.to_thread.run_sync(server.arrived.wait, 20)
        group.cancel_scope.cancel()
    assert len(server.requests) == 1


async def test_retry_after_is_heeded(
    start: Callable[..., ArtifactServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    start((429, {"Retry-After": "3"}), (503, {"Retry-After": "999"}), (503, {"Retry-After": "x"}))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(artifact_upload.anyio, "sleep", sleep)
    await create_artifact("report", {})
    assert slept[:2] == [3, artifact_upload.LONGEST_DELAY]
    assert slept[2] < 0.1


async def test_a_named_server_that_is_away_is_an_error(
    start: Callable[..., ArtifactServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start()
    monkeypatch.setenv("UPNEXT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ArtifactError, match="cannot be reached"):
        await create_artifact("report", {})
    assert os.listdir(tmp_path) == []


async def test_a_server_on_the_usual_port_is_found(
    start: Callable[..., ArtifactServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = start()
    monkeypatch.delenv("UPNEXT_URL")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr(artifacts, "DEFAULT_URL", server.url)
    await create_artifact("report", {})
    assert len(server.stored) == 1
    assert os.listdir(tmp_path) == []
    assert contract.DEFAULT_URL == "http://localhost:8080"


async def test_what_cannot_be_stored_says_why(
    start: Callable[..., ArtifactServer], tmp_path: Path
) -> None:
    server = start()

    async def bad_stream() -> AsyncIterator[Any]:
        yield "text"

    async def broken_stream() -> AsyncIterator[bytes]:
        yield b"1"
        raise ConnectionError("the source is gone")

    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ArtifactError, "nowhere", lambda: create_artifact("a", tmp_path / "nowhere")),
        (ArtifactError, "not a regular file", lambda: create_artifact("a", tmp_path)),
        (TypeError, "must give bytes", lambda: create_artifact("a", bad_stream())),
        (ConnectionError, "source is gone", lambda: create_artifact("a", broken_stream())),
        (upnext.CodecError, "object", lambda: create_artifact("a", object())),
        (TypeError, "not of dict", lambda: create_artifact("a", {}, ArtifactType.PNG)),
        (ValueError, "base64", lambda: create_artifact("a", "%", ArtifactType.PNG)),
        (ValueError, "not empty", lambda: create_artifact(" ", 1)),
        (ValueError, "printable", lambda: create_artifact("a\nb", 1)),
        (ValueError, "255", lambda: create_artifact("a" * 256, 1)),
        (ValueError, "content_type", lambda: create_artifact("a", 1, content_type="a\r\nb: c")),
        (ValueError, "nothing", lambda: create_artifact("a", 1, "nothing")),  # pyright: ignore[reportArgumentType]
    ]
    for kind, said, call in cases:
        with pytest.raises(kind, match=said):
            await call()
    assert server.requests == []


async def test_outside_a_job_there_is_nothing_to_belong_to() -> None:
    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="no job runs here"):
            await create_artifact("a", 1)

    context = contextvars.Context()
    coroutine = elsewhere()
    with pytest.raises(StopIteration):
        context.run(coroutine.send, None)


async def test_on_an_event_loop_the_sync_one_refuses() -> None:
    with pytest.raises(RuntimeError, match="await create_artifact"):
        create_artifact_sync("a", 1)


def test_without_an_event_loop_the_sync_one_works_again_and_again(
    start: Callable[..., ArtifactServer],
) -> None:
    server = start()
    for n in range(3):
        assert create_artifact_sync("a.txt", str(n), ArtifactType.TEXT).size == 1
    assert [request.body for request in server.requests] == [b"0", b"1", b"2"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("URL", "localhost:8080"), ("URL", "ftp://a"), ("URL", "http://"), ("URL", "http://[a")),
        *(("URL", "http://user:ü@a"), ("URL", "http://a?ü"), ("API_KEY", "k\tü")),
    ],
)
async def test_a_setting_that_cannot_be_used_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"UPNEXT_{variable}", value)
    with pytest.raises(upnext.ConfigurationError, match=f"UPNEXT_{variable}") as caught:
        await create_artifact("a", 1)
    assert "ü" not in str(caught.value)
