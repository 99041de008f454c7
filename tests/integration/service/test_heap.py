"""What the garbage collector has to do while a service runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from upnext import Api
from upnext.service.health_file import HealthFile
from upnext.service.heap import ALLOCATIONS
from upnext.service.surroundings import Surroundings
from upnext.service.tree import Service
from upnext.settings import Settings


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


class Parent:
    """Hears that the service is ready."""

    def __init__(self) -> None:
        self.told = anyio.Event()

    def ready(self) -> None:
        self.told.set()

    async def heed(self, on_now: Any) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("given", "meanwhile"), [((700, 10, 10), (ALLOCATIONS, 10, 10)), ((500, 5, 5), (500, 5, 5))]
)
async def test_the_collector_leaves_a_service_alone_until_its_end(
    redis_url: str,
    tmp_path: Path,
    thresholds: None,
    given: tuple[int, int, int],
    meanwhile: tuple[int, int, int],
) -> None:
    gc.set_threshold(*given)
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
            assert gc.get_threshold() == meanwhile
            group.cancel_scope.cancel()
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, given)
