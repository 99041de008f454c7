"""File locks: who holds what, across objects and across a fork."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from upnext.redis.embedded_lock import FileLock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def test_holds_of_one_process_exclude_each_other(path: Path) -> None:
    with FileLock(path).exclusive(), FileLock(path) as second:
        assert not second.try_exclusive()


def test_shared_holders_keep_out_whoever_wants_it_alone(path: Path) -> None:
    first, second, alone = FileLock(path).shared(), FileLock(path).shared(), FileLock(path)
    assert not alone.try_exclusive()
    first.close()
    assert not alone.try_exclusive()
    second.close()
    assert alone.try_exclusive()
    alone.close()


def test_the_last_of_several_shared_holders_gets_it_alone(path: Path) -> None:
    with FileLock(path).shared() as first, FileLock(path).shared() as second:
        assert not first.try_exclusive()
        assert second.try_exclusive()  # the failed try has dropped the first one's hold


def test_closing_twice_closes_no_other_file(path: Path) -> None:
    lock = FileLock(path)
    lock.close()
    with path.open() as reused:  # gets the number that the lock has given up
        lock.close()
        os.fstat(reused.fileno())


def test_the_file_is_private(path: Path) -> None:
    FileLock(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_holds_nothing(path: Path) -> None:
    lock = FileLock(path).exclusive()
    child_waits, parent_lets_go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(parent_lets_go)
        os.read(child_waits, 1)
        os._exit(0 if not lock.is_open else 1)
    lock.close()
    with FileLock(path) as other:
        assert other.try_exclusive(), "the living child still holds its parent's lock"
    os.close(parent_lets_go)  # only now does the child go on
    _, status = os.waitpid(child, 0)
    os.close(child_waits)
    assert os.waitstatus_to_exitcode(status) == 0
