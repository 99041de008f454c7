"""When a link that nothing is due on asks for a sign of life, in virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from tests.support.scripted import ScriptedServer, push
from tests.support.virtual import virtual_backend
from upnext.redis.link import Waiter

KEEPALIVE = 15.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backend(request.param)


@pytest.mark.parametrize("timeout", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("every", [1.0, 4.0, 7.0])
async def test_messages_keep_it_silent_and_then_it_asks_in_time(
    timeout: float, every: float
) -> None:
    server = ScriptedServer()
    link = server.link(keepalive=KEEPALIVE, timeout=timeout)
    heard: list[bytes] = []
    waiter = Waiter()
    await link.subscribe("c", heard.append, lambda: None).ready()
    async with anyio.create_task_group() as group:
        group.start_soon(link.attend, waiter)
        for _ in range(30):
            await wait_all_tasks_blocked()
            server.stream.put(push(b"message", b"c", b"x"))
            await anyio.sleep(every)
        assert len(heard) == 30
        assert "PING" not in server.names()
        await anyio.sleep(KEEPALIVE - every)
        assert server.names().count("PING") == 1
        waiter.wake()
    await link.aclose()
