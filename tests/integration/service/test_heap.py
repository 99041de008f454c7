"""What the garbage collector has to do while a service runs."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any, cast

import anyio

from upnext import Api
from upnext.service.health_file import HealthFile
from upnext.service.surroundings import Surroundings
from upnext.service.tree import Service
from upnext.settings import Settings


class Parent:
    """Hears that the service is ready."""

    def __init__(self) -> None:
        self.told = anyio.Event()

    def ready(self) -> None:
        self.told.set()

    async def heed(self, on_now: Any) -> None:
        await anyio.sleep_forever()


async def test_what_is_there_at_the_start_is_left_alone_until_the_end(
    redis_url: str, tmp_path: Path
) -> None:
    parent = Parent()
    service = Service(
        workers=[],
        apis=[Api("heap", port=0)],
        around=Surroundings(Settings(), redis_url),
        server=None,
        worker_timeout=1,
        api_timeout=1,
        health_file=HealthFile.at(str(tmp_path / "alive")),
        lifeline=cast("Any", parent),
    )
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            assert gc.get_freeze_count() == 0
            group.start_soon(service.run)
            await parent.told.wait()
            assert gc.get_freeze_count() > 10_000
            group.cancel_scope.cancel()
    assert gc.get_freeze_count() == 0
