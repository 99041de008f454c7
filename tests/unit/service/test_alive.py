"""The health file is new while a service works, and only then. In virtual time."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from tests.support.virtual import virtual_backend
from upnext.service.alive import INTERVAL, TOUCH_LIMIT, Alive
from upnext.service.health_file import STALE, HealthFile


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


class Watched(HealthFile):
    """Counts its touches, and fails when told to."""

    touches = 0
    fails = False

    def touch(self) -> None:
        if self.fails:
            raise OSError("disk full")
        super().touch()
        type(self).touches += 1


@pytest.fixture
def file(tmp_path: Path) -> HealthFile:
    Watched.touches, Watched.fails = 0, False
    return Watched(tmp_path / "alive")


def alive(file: HealthFile, *proofs: Callable[[], bool]) -> Alive:
    # Virtual time waits for threads of the default limiter.
    return Alive(file, proofs, to_thread.current_default_thread_limiter())


async def test_it_is_touched_more_often_than_it_goes_stale_and_removed_at_the_end(
    file: HealthFile,
) -> None:
    with anyio.move_on_after(INTERVAL * 3.5):
        async with anyio.create_task_group() as group:
            group.start_soon(alive(file).run)
            await anyio.sleep(INTERVAL / 2)
            assert file.path.exists()
    assert Watched.touches == 4
    assert not file.path.exists()
    assert INTERVAL * 2 < STALE


async def test_it_is_not_touched_while_a_worker_cannot_claim(file: HealthFile) -> None:
    able = [True, True]
    proofs = [lambda: able[0], lambda: able[1]]
    with anyio.move_on_after(INTERVAL * 5.5):
        async with anyio.create_task_group() as group:
            group.start_soon(alive(file, *proofs).run)
            await anyio.sleep(INTERVAL * 1.5)
            assert Watched.touches == 2
            able[1] = False
            await anyio.sleep(INTERVAL * 2)
            assert Watched.touches == 2
            able[1] = True
            await anyio.sleep(INTERVAL)
            assert Watched.touches == 3


async def test_a_file_that_cannot_be_written_is_told_once_and_tried_again(
    file: HealthFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    Watched.fails = True
    with anyio.move_on_after(INTERVAL * 6.5):
        async with anyio.create_task_group() as group:
            group.start_soon(alive(file).run)
            await anyio.sleep(INTERVAL * 2.5)
            [record] = caplog.records
            assert record.message.startswith(
                "cannot touch the health file (UPNEXT_HEALTH_FILE): disk full; probes"
            )
            Watched.fails = False
            await anyio.sleep(INTERVAL)
            assert Watched.touches == 1
            Watched.fails = True
            await anyio.sleep(INTERVAL * 2)
            assert len(caplog.records) == 2


async def test_a_process_that_touched_it_since_keeps_it(file: HealthFile) -> None:
    other = HealthFile(file.path, str(os.getpid() + 1))
    with anyio.move_on_after(INTERVAL / 2):
        async with anyio.create_task_group() as group:
            group.start_soon(alive(file).run)
            await anyio.sleep(1)
            other.touch()
    assert file.path.exists()
    other.remove()
    assert not file.path.exists()


class Hanging(HealthFile):
    """A file system that does not answer."""

    released = threading.Event()
    calls = 0

    def touch(self) -> None:
        type(self).calls += 1
        self.released.wait()

    def remove(self) -> None:
        self.touch()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=False)
async def test_a_file_system_that_hangs_holds_one_thread_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("upnext.service.alive.INTERVAL", 0.01)
    monkeypatch.setattr("upnext.service.alive.TOUCH_LIMIT", 0.02)
    assert TOUCH_LIMIT < INTERVAL
    Hanging.calls = 0
    Hanging.released.clear()
    try:
        with anyio.move_on_after(0.2):
            await Alive(Hanging(tmp_path / "alive"), ()).run()
        assert Hanging.calls == 1
        assert "the file system did not answer" in caplog.text
    finally:
        Hanging.released.set()
