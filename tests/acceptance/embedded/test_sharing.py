"""One server for all processes of a directory, in private, and the last one out stops it."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_process
import anyio.to_thread
import pytest
import redis

from tests.support.embedded import IN_A_BLOCK, UNTIL_EXIT, Directory
from upnext.redis.embedded import embedded
from upnext.redis.embedded_place import SOCKET_PATH_LIMIT


@pytest.mark.parametrize("program", [IN_A_BLOCK, UNTIL_EXIT], ids=["block", "until exit"])
def test_two_processes_share_it_and_the_last_one_out_stops_it(
    directory: Directory, program: str
) -> None:
    first = directory.start(program)
    second = directory.start(program)
    assert directory.starts() == 1
    first.leave()  # the one that started it
    assert directory.answers()
    second.leave()
    assert not directory.server_lives()
    assert not directory.place.socket().exists()


def test_simultaneous_starters_get_one_server(directory: Directory) -> None:
    users = [directory.enter() for _ in range(6)]
    for user in users:
        user.go()
    assert len({user.url() for user in users}) == 1
    assert directory.starts() == 1
    for user in users[1:]:
        user.leave()
    assert directory.answers()
    users[0].leave()
    assert not directory.server_lives()


def test_ctrl_c_in_the_terminal_does_not_reach_it(directory: Directory) -> None:
    user = directory.start()
    assert os.getpgid(directory.pid()) != os.getpgid(user.process.pid)
    os.killpg(user.process.pid, signal.SIGINT)
    assert user.process.wait() != 0
    # The user left through its block, as the last one out: had the signal hit the server,
    # its log would say so.
    log = directory.place.log.read_text()
    assert "User requested shutdown" in log
    assert "SIGINT" not in log


@pytest.fixture
def short_directories() -> Iterator[tuple[Path, Path]]:
    # Not below pytest's own, which are as deep as the checkout.
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as one,
        tempfile.TemporaryDirectory(dir="/tmp") as other,
    ):
        yield Path(one), Path(other)


def test_a_path_too_long_for_a_socket_works_and_leaves_nothing_behind(
    directory: Directory, short_directories: tuple[Path, Path]
) -> None:
    directory.path /= "d" * SOCKET_PATH_LIMIT
    directory.path.mkdir()
    short, other = short_directories
    first = directory.enter(TMPDIR=str(short))
    second = directory.enter(TMPDIR=str(other))
    first.go()
    url = first.url()
    assert url.startswith(f"unix://{short}/")
    second.go()
    assert second.url() == url
    assert directory.starts() == 1
    first.leave()
    second.leave()
    assert not directory.server_lives()
    assert [*short.iterdir(), *other.iterdir()] == []


async def test_async_code_enters_and_leaves_from_a_thread(directory: Directory) -> None:
    block = embedded(directory.path)
    server = await anyio.to_thread.run_sync(block.__enter__)
    assert server.directory == directory.path
    assert directory.answers()
    await anyio.to_thread.run_sync(block.__exit__, None, None, None)
    assert not directory.server_lives()


def test_everything_is_private_and_no_port_is_open(directory: Directory) -> None:
    with embedded(directory.path) as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("append*")["appendfsync"] == "everysec"
        client.set("written", 1)
        root = directory.place.root
        for path in (root, *root.rglob("*")):
            assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, path


def test_it_says_what_runs_and_how_to_use_another(directory: Directory) -> None:
    with embedded(directory.path) as server:
        line = server.describe()
    assert "\n" not in line
    assert line.startswith("Embedded Valkey 9.")
    assert str(directory.path / ".upnext") in line
    assert "UPNEXT_REDIS_URL" in line


@pytest.mark.parametrize("depth", [0, SOCKET_PATH_LIMIT], ids=["short path", "long path"])
def test_users_that_come_and_go_together_always_find_one_server(
    directory: Directory, depth: int
) -> None:
    directory.path /= "d" * depth
    directory.path.mkdir(exist_ok=True)
    all_in = threading.Barrier(4, timeout=30)
    seen: list[set[str]] = [set() for _ in range(25)]

    def come_and_go() -> None:
        for urls in seen:
            with embedded(directory.path) as server:
                urls.add(server.url)
                all_in.wait()  # the first one out meets the next round's first one in

    crowd = [threading.Thread(target=come_and_go) for _ in range(all_in.parties)]
    for user in crowd:
        user.start()
    for user in crowd:
        user.join()
    assert [len(urls) for urls in seen] == [1] * len(seen)
    assert not directory.server_lives()
