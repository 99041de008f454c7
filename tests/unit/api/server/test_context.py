"""What Hypercorn's protocols are given to wait with."""

from __future__ import annotations

import anyio

from upnext.api.server.context import Event


async def test_clearing_an_event_forgets_nobody_who_waits_for_it() -> None:
    event = Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(event.wait)
            await anyio.wait_all_tasks_blocked()
            await event.clear()
            await event.set()
        await event.clear()
        assert not event.is_set()
