"""Answers: pages, conditions, ranges, codings, several mounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.asgi import ask, http_scope
from upnext.api.static import StaticMounts
from upnext.api.static.etags import HASHED
from upnext.api.static.respond import CHUNK, answer

from .conftest import PAGE, SCRIPT, SECRET

HTML = {"accept": "text/html,*/*;q=0.8"}
FILM = bytes(range(256)) * 1000


async def test_a_file(mounts: StaticMounts) -> None:
    found = await ask(mounts.serve, "/assets/app.js")

    assert (found.status, found.body) == (200, SCRIPT)
    assert found.headers["content-type"] == "text/javascript; charset=utf-8"
    assert found.headers["content-length"] == str(len(SCRIPT))
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["cache-control"] == "no-cache"
    assert found.headers["accept-ranges"] == "bytes"


async def test_head_is_get_without_the_body(mounts: StaticMounts) -> None:
    got = await ask(mounts.serve, "/film.mp4")
    head = await ask(mounts.serve, "/film.mp4", {"range": "bytes=0-9"}, method="HEAD")

    assert head.headers == got.headers
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/", "/dashboard", "/users/7", "/users/jane.doe", "/empty/", "/x/"]
)
async def test_pages_of_an_application(mounts: StaticMounts, path: str) -> None:
    page = await ask(mounts.serve, path, HTML)

    assert (page.status, page.body) == (200, PAGE)
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("accept", ["*/*", "text/css,*/*;q=0.1", "image/webp,*/*;q=0.8"])
async def test_a_missing_asset_is_not_answered_with_a_page(
    mounts: StaticMounts, accept: str
) -> None:
    missing = await ask(mounts.serve, "/assets/app-0ld.js", {"accept": accept})
    assert (missing.status, missing.headers["vary"]) == (404, "Accept")


async def test_a_page_that_stands_for_another_path_depends_on_accept(mounts: StaticMounts) -> None:
    assert (await ask(mounts.serve, "/users", HTML)).headers["vary"] == "Accept"
    assert (await ask(mounts.serve, "/users", {"accept": "application/json"})).status == 404
    assert "vary" not in (await ask(mounts.serve, "/", HTML)).headers


async def test_plain_files_have_no_page_for_other_paths(site: Path) -> None:
    mounts = StaticMounts()
    mounts.add("/", directory=site, spa=False)

    assert (await ask(mounts.serve, "/", HTML)).body == PAGE
    assert (await ask(mounts.serve, "/dashboard", HTML)).status == 404
    assert (await ask(mounts.serve, "/empty/", HTML)).status == 404


async def test_a_directory_is_named_with_a_slash_at_its_end(mounts: StaticMounts) -> None:
    moved = await ask(mounts.serve, "/docs", query="a=1")
    assert (moved.status, moved.headers["location"]) == (307, "./docs/?a=1")
    assert (await ask(mounts.serve, "/docs/")).body == b"docs"


async def test_no_redirect_leads_to_another_host(site: Path) -> None:
    mounts = StaticMounts()
    mounts.add("/", directory=site)
    for path in ("//evil.example/docs", "//docs", "/\\docs", "///docs/"):
        found = await ask(mounts.serve, path, HTML)
        assert found.status == 404, path
        assert "location" not in found.headers


async def test_the_longest_mount_decides_alone_and_the_root_comes_last(
    site: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_bytes(b"other")
    mounts = StaticMounts()
    mounts.add("/", directory=site)
    mounts.add("/admin", directory=other)
    mounts.add("/admin/raw", directory=site / "assets", spa=False)
    mounts.add("/later", directory=tmp_path / "later")

    assert (await ask(mounts.serve, "/x", HTML)).body == PAGE
    assert (await ask(mounts.serve, "/administer", HTML)).body == PAGE
    assert (await ask(mounts.serve, "/admin/x", HTML)).body == b"other"
    assert (await ask(mounts.serve, "/admin/film.mp4")).status == 404
    assert (await ask(mounts.serve, "/admin/raw/x", HTML)).status == 404
    assert (await ask(mounts.serve, "/admin/raw/app.js")).body == SCRIPT
    moved = await ask(mounts.serve, "/admin")
    assert moved.headers["location"] == "./admin/"
    # A mount without its directory is skipped, until it has one.
    assert (await ask(mounts.serve, "/later/", HTML)).body == PAGE
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "index.html").write_bytes(b"later")
    assert (await ask(mounts.serve, "/later/", HTML)).body == b"later"


async def test_what_has_no_file_goes_to_the_fallback_untouched(mounts: StaticMounts) -> None:
    asked: list[str] = []

    async def fallback(scope: Any, receive: Any, send: Any) -> None:
        asked.append(f"{scope['method']} {scope['path']}")
        await answer(send, 418, [], b"tea")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await mounts.serve(scope, receive, send, fallback)

    assert (await ask(app, "/assets/app.js")).status == 200
    assert (await ask(app, "/assets/none.js")).status == 418
    assert (await ask(app, "/", method="POST")).status == 418
    assert asked == ["GET /assets/none.js", "POST /"]
    await mounts.serve({"type": "lifespan", "method": "-", "path": "-"}, None, _drop, fallback)  # type: ignore[arg-type]


async def _drop(message: Any) -> None:
    pass


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_files_are_for_reading(mounts: StaticMounts, method: str) -> None:
    refused = await ask(mounts.serve, "/", method=method)

    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert mounts.find(method, "/") is None


async def test_not_modified(mounts: StaticMounts) -> None:
    first = await ask(mounts.serve, "/assets/index-BQ3xPk9a.js")
    etag, date = first.headers["etag"], first.headers["last-modified"]
    assert etag.startswith('"')

    for headers in (
        {"if-none-match": etag},
        {"if-none-match": f'"x", W/{etag}'},
        {"if-none-match": "*"},
        {"if-modified-since": date},
        {"if-none-match": etag, "if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        same = await ask(mounts.serve, "/assets/index-BQ3xPk9a.js", headers)
        assert (same.status, same.body) == (304, b""), headers
        assert same.headers["etag"] == etag
        assert same.headers["cache-control"] == first.headers["cache-control"]
        assert "content-length" not in same.headers
        assert "content-type" not in same.headers

    for headers in (
        {"if-none-match": '"other"'},
        {"if-none-match": '"other"', "if-modified-since": date},
        {"if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"if-modified-since": "yesterday"},
    ):
        assert (await ask(mounts.serve, "/assets/index-BQ3xPk9a.js", headers)).status == 200


async def test_a_page_of_the_same_size_and_date_is_another_page(
    mounts: StaticMounts, site: Path
) -> None:
    page = site / "index.html"
    os.utime(page, (1, 1))
    before = await ask(mounts.serve, "/")
    page.write_bytes(PAGE.replace(b"app", b"new"))
    os.utime(page, (1, 1))

    after = await ask(mounts.serve, "/", {"if-none-match": before.headers["etag"]})
    assert (after.status, after.body) == (200, PAGE.replace(b"app", b"new"))


async def test_a_large_file_has_a_tag_without_being_read(mounts: StaticMounts, site: Path) -> None:
    with (site / "large.bin").open("wb") as file:
        file.truncate(HASHED + 1)
    head = await ask(mounts.serve, "/large.bin", method="HEAD")
    assert head.headers["etag"].startswith(f'"{HASHED + 1:x}-')


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, len(FILM)),
        ("bytes=-100", len(FILM) - 100, len(FILM)),
        ("bytes=-99999999", 0, len(FILM)),
        ("bytes=10-99999999", 10, len(FILM)),
        (f"bytes={len(FILM) - 1}-", len(FILM) - 1, len(FILM)),
        ("bytes=5-200000", 5, 200_001),
    ],
)
async def test_a_range(mounts: StaticMounts, asked: str, start: int, stop: int) -> None:
    part = await ask(mounts.serve, "/film.mp4", {"range": asked})

    assert part.status == 206
    assert part.body == FILM[start:stop]
    assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(FILM)}"
    assert part.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("asked", [f"bytes={len(FILM)}-", "bytes=999999999-"])
async def test_a_range_that_is_not_there(mounts: StaticMounts, asked: str) -> None:
    none = await ask(mounts.serve, "/film.mp4", {"range": asked})
    assert (none.status, none.headers["content-range"]) == (416, f"bytes */{len(FILM)}")
    empty = await ask(mounts.serve, "/nothing.txt", {"range": "bytes=0-"})
    assert (empty.status, empty.headers["content-range"]) == (416, "bytes */0")


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", "lines=0-1", "bytes", "bytes=", "bytes=a-b", "bytes=9-2", "bytes=--1"],
)
async def test_ranges_that_are_not_understood_give_the_whole(
    mounts: StaticMounts, asked: str
) -> None:
    whole = await ask(mounts.serve, "/film.mp4", {"range": asked})
    assert (whole.status, whole.body) == (200, FILM)


async def test_a_range_of_what_the_client_had_before(mounts: StaticMounts) -> None:
    first = await ask(mounts.serve, "/film.mp4", method="HEAD")
    etag, date = first.headers["etag"], first.headers["last-modified"]

    for if_range, status in (
        (etag, 206),
        (date, 206),
        ('"other"', 200),
        (f"W/{etag}", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ):
        headers = {"range": "bytes=0-9", "if-range": if_range}
        assert (await ask(mounts.serve, "/film.mp4", headers)).status == status, if_range


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0, gzip;q=0", None),
        ("*", "br"),
        ("br;q=0, *", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("deflate", None),
        ("", None),
        (None, None),
        ("zstd", None),
    ],
)
async def test_precompressed(mounts: StaticMounts, accept: str | None, coding: str | None) -> None:
    headers = {} if accept is None else {"accept-encoding": accept}
    found = await ask(mounts.serve, "/assets/app.js", headers)

    assert found.headers.get("content-encoding") == coding
    assert found.headers["vary"] == "Accept-Encoding"
    assert found.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (found.body == SCRIPT) == (coding is None)
    plain = await ask(mounts.serve, "/assets/app.js")
    assert (found.headers["etag"] == plain.headers["etag"]) == (coding is None)
    # Each coding has its tag, its length and its ranges.
    again = {**headers, "if-none-match": found.headers["etag"]}
    assert (await ask(mounts.serve, "/assets/app.js", again)).status == 304
    part = await ask(mounts.serve, "/assets/app.js", {**headers, "range": "bytes=2-5"})
    assert part.body == found.body[2:6]


async def test_what_has_no_sibling_does_not_vary(mounts: StaticMounts) -> None:
    found = await ask(mounts.serve, "/film.mp4", {"accept-encoding": "gzip"})
    assert "vary" not in found.headers


async def test_a_large_file_comes_in_chunks(mounts: StaticMounts) -> None:
    film = await ask(mounts.serve, "/film.mp4")

    assert film.body == FILM
    assert max(map(len, film.chunks)) == CHUNK


async def test_reading_ends_when_the_client_goes_away(mounts: StaticMounts, site: Path) -> None:
    with (site / "large.bin").open("wb") as file:
        file.truncate(500 * CHUNK)
    gone = anyio.Event()
    sent: list[int] = []

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(len(message.get("body", b"")))
        if len(sent) == 3:
            gone.set()

    await mounts.serve(http_scope("/large.bin"), receive, send)  # type: ignore[arg-type]
    assert len(sent) < 20


async def test_a_file_that_shrinks_is_an_error_and_not_a_short_answer(
    mounts: StaticMounts, site: Path
) -> None:
    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            os.truncate(site / "film.mp4", 10)

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    with pytest.raises((OSError, ExceptionGroup)) as caught:
        await mounts.serve(http_scope("/film.mp4"), receive, send)  # type: ignore[arg-type]
    error = caught.value
    while isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert "became shorter" in str(error)


async def test_files_are_closed_when_the_request_is_cancelled(mounts: StaticMounts) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    started = anyio.Event()

    async def send(_message: Any) -> None:
        started.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(mounts.serve, http_scope("/film.mp4"), None, send)  # type: ignore[arg-type]
        await started.wait()
        assert len(os.listdir("/proc/self/fd")) > descriptors
        group.cancel_scope.cancel()
    assert len(os.listdir("/proc/self/fd")) == descriptors


async def test_websockets_are_closed(mounts: StaticMounts) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await mounts.serve({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close"}]
    with pytest.raises(RuntimeError, match="answer http, not lifespan"):
        await mounts.serve({"type": "lifespan"}, None, send)  # type: ignore[arg-type]


async def test_without_mounts_there_is_nothing(site: Path) -> None:
    assert (await ask(StaticMounts().serve, "/")).status == 404
    assert SECRET not in (await ask(StaticMounts().serve, "/package.json")).body
