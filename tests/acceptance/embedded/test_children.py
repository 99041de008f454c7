"""Forked children and worker processes: who counts as a user of the server."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.to_process
import anyio.to_thread
import pytest

from tests.support.embedded import Directory
from upnext.redis.embedded import embedded, embedded_url


def test_a_forked_child_is_no_user_until_it_asks(directory: Directory) -> None:
    parent = directory.start(
        """
import os, sys
from upnext.redis.embedded import embedded_url
print("imported", flush=True)
sys.stdin.readline()
print(embedded_url(), flush=True)
if not os.fork():
    sys.stdin.read()
"""
    )
    assert parent.process.wait() == 0  # while its child still reads
    assert not directory.server_lives()


def test_a_forked_child_that_asks_outlives_its_parent_as_a_user(directory: Directory) -> None:
    parent = directory.start(
        """
import os, sys
from upnext.redis.embedded import embedded_url
print("imported", flush=True)
sys.stdin.readline()
url = embedded_url()
child_asked, asked = os.pipe()
if os.fork():
    os.close(asked)
    os.read(child_asked, 1)
else:
    assert embedded_url() == url
    print(url, flush=True)
    os.close(asked)
    sys.stdin.read()
"""
    )
    assert parent.process.wait() == 0
    assert directory.answers()
    parent.input.close()
    assert parent.output.read() == ""  # ends with the child, the last one to hold it
    assert not directory.server_lives()


def test_a_forked_child_that_leaves_its_parents_block_stops_nothing(directory: Directory) -> None:
    parent = directory.start(
        """
import os, sys
from upnext.redis.embedded import embedded
print("imported", flush=True)
sys.stdin.readline()
with embedded() as server:
    if child := os.fork():
        os.waitpid(child, 0)
        print(server.url, flush=True)
        sys.stdin.read()
"""
    )
    assert directory.answers()
    parent.leave()
    assert not directory.server_lives()


def test_worker_processes_share_the_server_of_their_parent(
    directory: Directory,
    anyio_backend_name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with embedded(directory.path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)  # a job may do that, and must not end up on another server
        seen = anyio.run(anyio.to_process.run_sync, embedded_url, backend=anyio_backend_name)
        assert seen == server.url
    assert not directory.server_lives()  # AnyIO has waited for the process it killed
