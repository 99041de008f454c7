"""Threads wake the reporter: real ones, so the time is real, too."""

from __future__ import annotations

import threading

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.unit.worker.reporting.test_mailbox import OUTPUT, everything, one, put
from upnext.worker.reporting.mailbox import Mailbox

HANG = 30.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_threads_ring_the_bell() -> None:
    box, whose = Mailbox(), one()
    with box.listening(), anyio.fail_after(HANG):
        for _ in range(3):
            thread = threading.Thread(target=put, args=(box, whose, OUTPUT))
            async with anyio.create_task_group() as group:
                group.start_soon(box.arrival)
                await checkpoint()
                thread.start()
            thread.join()
            assert len(everything(box)) == 1


async def test_what_was_put_before_anybody_listened_is_there() -> None:
    box, whose = Mailbox(), one()
    put(box, whose, OUTPUT)
    with box.listening(), anyio.fail_after(HANG):
        await box.arrival()
    put(box, whose, OUTPUT)  # nobody listens any more
    assert len(everything(box)[0].reports) == 2
