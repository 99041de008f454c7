"""Events through a whole worker."""

from __future__ import annotations

from typing import Any

import upnext
from tests.support.tree import running, until
from upnext import JobStatus, Worker


async def test_handlers_run_as_the_senders_children_and_know_their_event() -> None:
    worker = Worker("test")
    seen: list[tuple[str, int, str | None, str | None, str]] = []
    sender_id = ""

    def note(who: str, n: int) -> None:
        context = upnext.get_current_context()
        seen.append((who, n, context.event, context.parent_id, context.root_id))

    @worker.event("order.*").on
    async def audit(n: int, **rest: Any) -> None:
        note("audit", n)

    @worker.event("order.paid").on(retries=1)
    def stock(n: int) -> None:
        note("stock", n)

    @worker.task
    async def pay() -> str | None:
        nonlocal sender_id
        context = upnext.get_current_context()
        sender_id = context.job_id
        await stock.send(7)
        return context.event

    async with running(worker) as tree:
        assert (await pay.wait()).value is None
        await until(lambda: len(seen) == 2)
        assert sorted(seen) == [
            ("audit", 7, "order.paid", sender_id, sender_id),
            ("stock", 7, "order.paid", sender_id, sender_id),
        ]
        [queue] = [q for q in tree.store.queues.values() if q.prefix.endswith(":stock}:")]
        [job] = queue.jobs
        assert (await tree.end_of(job)).status is JobStatus.COMPLETE
        await tree.stop()
