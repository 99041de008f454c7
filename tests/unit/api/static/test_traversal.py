"""Nothing but the regular files below a root is ever served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.asgi import ask
from upnext.api.static import StaticFile, StaticMounts
from upnext.api.static.contained import locate, open_located

from .conftest import PAGE, SECRET

UP = [
    "..",
    "%2e%2e",
    "%252e%252e",
    ".%2e",
    "..;",
    "..\\",
    "%c0%ae%c0%ae",
    "..\0",
    "....",
    "\uff0e\uff0e",
]
SEPARATORS = ["/", "//", "\\", "%2f", "%252f", "%5c", "/./", "/.//", "/%00/", "\u2215"]
TARGETS = ["secret.txt", "etc/passwd", "web/package.json", "package.json", "dist-old/index.html"]
SPELLINGS = [
    f"{start}{up}{separator}{rest}{target}"
    for start in ("/", "//", "/assets/", "/assets/..", "")
    for up in UP
    for separator in SEPARATORS
    for rest in ("", f"{up}{separator}", f"{up}{separator}" * 8)
    for target in TARGETS[:2]
]
OTHERS = [
    "//etc/passwd", "///etc/passwd", "/C:/Windows/win.ini", "/C:\\Windows\\win.ini",
    "/c:secret.txt",
    "/\\\\server\\share\\x", "/file:///etc/passwd", "/~root/.bashrc", "/.env", "/.git/config",
    "/assets/../.env", "/index.html\0.js", "/index.html%00", "/\0", "/.", "/..", "/./index.html",
    "/-old/index.html", "/../dist-old/index.html", "/assets/app.js/../../../package.json",
    "/assets/app.js/", "/proc/self/environ", "/dev/stdin", "/.well-known/../.env", "\\etc\\passwd",
    "/" + "a" * 300, "/" + "a/" * 3000, "/" + "../" * 3000 + "etc/passwd", "/\ud800", "/\udcff",
    "/.ENV", "/ .env", "/index.html::$DATA", "/con", "etc/passwd", "",
]  # fmt: skip


@pytest.fixture(params=[True, False], ids=["spa", "files"])
def either(request: pytest.FixtureRequest, site: Path) -> StaticMounts:
    mounts = StaticMounts()
    mounts.add("/", directory=site, spa=request.param)
    return mounts


def contents(root: Path) -> set[bytes]:
    return {path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_no_spelling_leads_out(either: StaticMounts, site: Path) -> None:
    inside = contents(site) - {SECRET}
    refused = 0
    for path in (*SPELLINGS, *OTHERS):
        answer = await ask(either.serve, path, {"accept": "text/html"})
        assert answer.status in (200, 404, 307), path
        assert answer.body in {*inside, b"Not Found", b""}, path
        assert SECRET not in answer.body, path
        if answer.status == 200:
            assert answer.body == PAGE  # only as the page of an application
        refused += answer.status == 404
    assert refused > len(SPELLINGS) / 2


@pytest.mark.parametrize("path", ["/.env", "/.git/config", "/.git/", "/.ENV", "/a/.b", "/.hidden"])
async def test_hidden_files_are_not_there(either: StaticMounts, path: str) -> None:
    assert (await ask(either.serve, path, {"accept": "text/html"})).status == 404


async def test_the_one_hidden_directory_that_is_public(either: StaticMounts) -> None:
    answer = await ask(either.serve, "/.well-known/security.txt")
    assert (answer.status, answer.body) == (200, b"mail us")


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
async def test_links_that_leave_the_root_lead_nowhere(
    either: StaticMounts, site: Path, tmp_path: Path, accept: str
) -> None:
    (site / "out.txt").symlink_to(tmp_path / "secret.txt")
    (site / "out-relative.txt").symlink_to("../../secret.txt")
    (site / "out").symlink_to(tmp_path)
    (site / "twice").symlink_to("out")
    (site / "old").symlink_to("../dist-old")
    (site / "dot.txt").symlink_to(".env")
    (site / "loop.txt").symlink_to("loop.txt")
    (site / "gone.txt").symlink_to("nowhere")
    (site / "index.txt.gz").symlink_to(tmp_path / "secret.txt")
    (site / "index.txt").write_bytes(b"plain")

    for path in ("out.txt", "out-relative.txt", "out/secret.txt", "twice/secret.txt",
                 "old/index.html", "dot.txt", "loop.txt", "gone.txt"):  # fmt: skip
        assert (await ask(either.serve, f"/{path}", {"accept": accept})).status == 404, path
    compressed = await ask(either.serve, "/index.txt", {"accept-encoding": "gzip"})
    assert compressed.body == b"plain"
    assert "content-encoding" not in compressed.headers


async def test_links_that_stay_inside_are_followed(either: StaticMounts, site: Path) -> None:
    (site / "latest.js").symlink_to("assets/index-BQ3xPk9a.js")
    (site / "static").symlink_to("assets")

    latest = await ask(either.serve, "/latest.js")
    assert latest.body == b"hashed"
    assert latest.headers["cache-control"] == "no-cache"  # its own name may mean another file soon
    assert (await ask(either.serve, "/static/index-BQ3xPk9a.js")).body == b"hashed"


async def test_a_root_behind_a_link_is_a_root(site: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(site)
    mounts = StaticMounts()
    mounts.add("/", directory=tmp_path / "current")

    assert (await ask(mounts.serve, "/")).body == PAGE
    assert (await ask(mounts.serve, "/../secret.txt")).status == 404


async def test_only_regular_files_are_served(either: StaticMounts, site: Path) -> None:
    os.mkfifo(site / "pipe.txt")

    assert (await ask(either.serve, "/pipe.txt")).status == 404
    assert open_located(site, ("pipe.txt",)) is None
    assert open_located(site, ("assets",)) is None


def test_a_link_put_there_after_the_look_leads_nowhere(site: Path, tmp_path: Path) -> None:
    located = locate(site, ("assets", "app.js"))
    assert located is not None
    names, _ = located

    (site / "assets" / "app.js").unlink()
    (site / "assets" / "app.js").symlink_to(tmp_path / "secret.txt")
    assert open_located(site, names) is None

    (site / "assets").rename(site / "old")
    (site / "assets").symlink_to(tmp_path)
    (tmp_path / "app.js").write_bytes(SECRET)
    assert open_located(site, names) is None


def test_a_file_that_may_not_be_read_is_not_there(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError

    monkeypatch.setattr("upnext.api.static.contained.os.open", refuse)
    assert open_located(site, ("index.html",)) is None


NAMES = st.one_of(
    st.sampled_from([*UP, *SEPARATORS, *TARGETS, "", ".", "index.html", "assets", "app.js", "out",
                     "in", ".env", ".git", "C:", "etc", "passwd", "\0", "%00"]),
    st.text(max_size=6),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(
    names=st.lists(NAMES, max_size=8),
    joint=st.sampled_from(["/", "", *SEPARATORS]),
    start=st.sampled_from(["/", "", "//", "/app/", "/app", "/app/../"]),
    spa=st.booleans(),
    absolute=st.booleans(),
)
def test_whatever_the_path_what_is_found_is_inside(
    site: Path, names: list[str], joint: str, start: str, spa: bool, absolute: bool
) -> None:
    for link, target in (("out", "../.."), ("in", "assets")):
        if not (site / link).is_symlink():
            (site / link).symlink_to(target)
    mounts = StaticMounts()
    mounts.add("/", directory=site, spa=spa)
    mounts.add("/app", directory=site / "assets", spa=spa)
    secret = str(site.parent.parent / "secret.txt") if absolute else ""

    found = mounts.find("GET", start + joint.join(names) + secret, "text/html")

    if isinstance(found, StaticFile):
        real = found.root.joinpath(*found.names)
        assert real == real.resolve(strict=True)
        assert real.is_relative_to(site.resolve())
        assert real.is_file()
        assert not any(name.startswith(".") and name != ".well-known" for name in found.names)
        assert real.read_bytes() != SECRET
        file = open_located(found.root, found.names)
        assert file is not None
        with file:
            assert file.read() == real.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, max_size=6))
def test_what_is_opened_is_inside_whatever_names_are_given(site: Path, names: list[str]) -> None:
    file = open_located(site, names)
    if file is not None:
        with file:
            opened = Path(os.readlink(f"/proc/self/fd/{file.fileno()}"))
            assert opened.is_relative_to(site.resolve())
