"""Where no server can run, and servers that do not do as they are told."""

from __future__ import annotations

import shutil
import socket
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.support.embedded import Directory
from upnext.redis.embedded import EmbeddedServerError, embedded
from upnext.redis.embedded_process import ensure_running, stop


@pytest.fixture
def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.mark.usefixtures("without_wheel")
def test_a_server_on_path_stands_in_for_the_wheel(directory: Directory) -> None:
    if not (shutil.which("valkey-server") or shutil.which("redis-server")):
        pytest.skip("no server program on PATH")
    with embedded(directory.path) as server:
        assert directory.answers()
        assert " 7." in server.describe() or " 8." in server.describe()
    assert not directory.server_lives()


@pytest.mark.usefixtures("without_wheel")
@pytest.mark.parametrize("old", [True, False], ids=["too old", "none"])
def test_no_server_at_all_is_one_clear_error(
    directory: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    if old:
        program = tmp_path / "redis-server"
        program.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0'\n")
        program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", partial(shutil.which, path=str(tmp_path)))
    with pytest.raises(EmbeddedServerError, match=r"no valkey-server(.|\n)*UPNEXT_REDIS_URL="):
        embedded(directory.path).__enter__()


def test_a_directory_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".upnext").touch()
    with pytest.raises(EmbeddedServerError, match=r"\.upnext(.|\n)*UPNEXT_REDIS_URL="):
        embedded(tmp_path).__enter__()


def test_a_server_that_cannot_read_its_file_shows_its_log(directory: Directory) -> None:
    with embedded(directory.path):
        pass
    for part in directory.place.root.glob("appendonlydir/*.rdb"):
        part.write_bytes(b"not a database")
    with pytest.raises(EmbeddedServerError, match=r"ended while starting(.|\n)*server\.log"):
        embedded(directory.path).__enter__()
    assert not directory.server_lives()


def test_a_server_that_cannot_be_reached_is_left_running(
    directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    with embedded(directory.path):
        directory.place.socket().unlink()
    assert directory.server_lives()
    assert "keeps running" in caplog.text


def test_a_server_that_reads_its_file_back_is_waited_for(directory: Directory) -> None:
    """Played by this test: it holds the server's lock and says LOADING twice."""
    place = directory.place
    answers = [b"-LOADING not yet\r\n", b"-LOADING not yet\r\n", b"+PONG\r\n"]
    with place.server().exclusive(), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.socket()))
        listener.listen()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        assert ensure_running(place) == place.socket()
        server.join()
    assert not place.log.exists(), "a second server was started on the same data"


def test_stopping_ends_with_the_process_and_not_with_its_connection(directory: Directory) -> None:
    """Played by this test: it hangs up at SHUTDOWN and lives on a little, as a server does."""
    place = directory.place
    order: list[str] = []
    alive = place.server().exclusive()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.socket()))
        listener.listen()
        stopper = threading.Thread(target=lambda: (stop(place), order.append("stopped")))
        stopper.start()
        for answer in (b"+PONG\r\n", b""):
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)
        stopper.join(0.1)  # time enough to return too early
        order.append("ended")
        alive.close()
        stopper.join()
    assert order == ["ended", "stopped"]
