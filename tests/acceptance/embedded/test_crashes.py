"""kill -9 of users and of the server: nobody is left behind and nothing acknowledged is lost."""

from __future__ import annotations

import os
import threading

import redis

from tests.support.embedded import Directory
from upnext.redis.embedded import embedded


def test_users_killed_with_9_stop_counting(directory: Directory) -> None:
    first, second = directory.start(), directory.start()
    first.kill()
    assert directory.answers()
    second.leave()
    assert not directory.server_lives()


def test_a_server_whose_users_were_all_killed_ends_with_the_next_one(directory: Directory) -> None:
    directory.start().kill()
    assert directory.answers()
    pid = directory.pid()
    user = directory.start()
    assert directory.pid() == pid
    user.leave()
    assert not directory.server_lives()


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(directory: Directory) -> None:
    acknowledged: list[int] = []
    enough = threading.Event()

    def write(url: str) -> None:
        with redis.Redis.from_url(url, retry=None) as client:
            try:
                while True:
                    client.rpush("jobs", len(acknowledged))
                    acknowledged.append(len(acknowledged))
                    if len(acknowledged) == 500:
                        enough.set()
            except redis.ConnectionError:
                return

    with embedded(directory.path) as server:
        writer = threading.Thread(target=write, args=(server.url,))
        writer.start()
        assert enough.wait(30)
        directory.kill_server()
        writer.join()
        server.revive()
        with redis.Redis.from_url(server.url) as client:
            kept = [int(job) for job in client.lrange("jobs", 0, -1)]
    # One more may have been written whose acknowledgement the kill cut off.
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) in {0, 1}
    assert directory.starts() == 2


def test_what_is_written_is_there_for_the_next_user(directory: Directory) -> None:
    with embedded(directory.path) as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    assert not directory.server_lives()
    with embedded(directory.path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"


def test_it_starts_over_a_stale_socket_and_a_stale_pid(directory: Directory) -> None:
    user = directory.start()
    directory.kill_server()
    user.kill()
    assert directory.place.socket().is_socket()
    directory.place.pid_file.write_text(f"{os.getpid()}\n")
    user = directory.start()
    assert directory.answers()
    assert directory.pid() != os.getpid()
    user.leave()
    assert not directory.server_lives()


def test_revive_leaves_a_living_server_alone(directory: Directory) -> None:
    with embedded(directory.path) as server:
        pid = directory.pid()
        server.revive()
        assert directory.pid() == pid
    assert directory.starts() == 1


def test_a_server_is_revived_by_its_url(directory: Directory) -> None:
    user = directory.start(
        """
import sys
from upnext.redis.embedded import embedded_url, revive
print("imported", flush=True)
sys.stdin.readline()
print(embedded_url(), flush=True)
sys.stdin.readline()
print(revive(embedded_url()), revive("unix:///elsewhere.sock"), flush=True)
sys.stdin.read()
"""
    )
    directory.kill_server()
    user.go()
    assert user.output.readline() == "True False\n"
    assert directory.answers()
    user.leave()
    assert not directory.server_lives()
