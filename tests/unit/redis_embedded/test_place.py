"""The `.upnext` directory: private, and with a socket path that fits."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from upnext.redis.embedded_place import SOCKET_PATH_LIMIT, Place


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not below pytest's own, which is as deep as the checkout.
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        monkeypatch.setattr(tempfile, "tempdir", made)
        yield Path(made)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    made = tmp_path / ("d" * SOCKET_PATH_LIMIT)
    made.mkdir()
    return made


def test_the_directory_is_private_and_stays_out_of_git(tmp_path: Path) -> None:
    root = Place.open(tmp_path).root
    assert root == tmp_path / ".upnext"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert "*" in (root / ".gitignore").read_text().splitlines()


def test_a_directory_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / ".upnext").mkdir(mode=0o755)
    assert stat.S_IMODE(Place.open(tmp_path).root.stat().st_mode) == 0o700


def test_a_link_and_its_target_are_one_place(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Place.open(tmp_path / "link") == Place.open(tmp_path / "real")


def test_a_short_path_has_its_socket_beside_the_data() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        place = Place.open(Path(directory))
        assert place.socket() == place.root / "server.sock"


def test_the_limit_counts_bytes_and_is_exact() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as base:
        rest = SOCKET_PATH_LIMIT - len(os.fsencode(f"{Path(base).resolve()}//.upnext/server.sock"))
        fits = Path(base, "d" * rest)
        fits.mkdir()
        assert len(os.fsencode(Place.open(fits).socket())) == SOCKET_PATH_LIMIT
        # As many characters, one byte more: é is two bytes in a path.
        too_long = Path(base, "d" * (rest - 1) + "é")
        too_long.mkdir()
        place = Place.open(too_long)
        assert place.socket().parent != place.root
        place.clear_socket()


def test_a_long_path_has_its_socket_in_a_private_short_directory(
    deep: Path, short_tmp: Path
) -> None:
    socket = Place.open(deep).socket()
    assert socket.is_relative_to(short_tmp)
    assert len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_another_process_with_another_tmpdir_finds_the_same_socket(
    deep: Path, short_tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = Place.open(deep).socket()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert Place.open(deep).socket() == socket


def test_a_tmpdir_that_is_itself_too_long_is_not_used(
    deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    place = Place.open(deep)
    assert place.socket().is_relative_to("/tmp")
    assert list(deep.iterdir()) == [place.root]
    place.clear_socket()


@pytest.mark.parametrize("spoil", ["gone", "open", "link"])
def test_a_recorded_directory_that_is_not_ours_alone_is_replaced(
    spoil: str, deep: Path, short_tmp: Path
) -> None:
    place = Place.open(deep)
    first = place.socket().parent
    if spoil == "open":
        first.chmod(0o777)
    else:
        first.rmdir()
    if spoil == "link":
        (short_tmp / "theirs").mkdir(mode=0o700)
        first.symlink_to(short_tmp / "theirs")
    second = place.socket().parent
    assert second != first
    assert place.socket().parent == second


def test_clearing_removes_the_short_directory_and_its_record(deep: Path, short_tmp: Path) -> None:
    place = Place.open(deep)
    place.socket().touch()
    place.clear_socket()
    assert list(short_tmp.iterdir()) == []
    assert not (place.root / "socket-directory").exists()
    place.clear_socket()  # nothing left to do
