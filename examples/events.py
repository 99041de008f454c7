"""One event and three handlers: by its name, with retries, and by a wildcard.

Whoever sends the event knows none of them. This program looks afterwards how they fared: the
number in the id of a handler's job is the event's.
"""

from __future__ import annotations

from typing import Any

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("shop", concurrency=4)
paid = worker.event("order.paid")


@paid.on
async def send_receipt(order_id: int, total: float) -> str:
    return f"order {order_id}: {total:.2f}"


@paid.on(retries=2, retry_delay=0.05)
async def reserve(order_id: int, **rest: Any) -> str:
    if upnext.get_current_context().attempt == 1:
        raise ConnectionError("the warehouse does not answer")
    return f"order {order_id} is reserved"


@worker.event("order.*").on
def audit(**data: Any) -> str:
    """A sync handler, of every order event, whatever fields it has."""
    return f"{upnext.get_current_context().event} {sorted(data)}"


@worker.task
async def checkout(order_id: int) -> str:
    """The handlers' jobs will have this one as their parent."""
    return await send_receipt.send(order_id, total=130.0)


async def main() -> None:
    event_id = (await checkout.wait(7)).value
    for handler in (send_receipt, reserve, audit):
        job_id = f"{handler.definition.tag}-{event_id.removeprefix('evt_')}"
        result = await end_of(job_id)
        print(f"{handler.name}: {result.value}, attempts: {result.attempts}")


async def end_of(job_id: str) -> upnext.TaskResult[Any]:
    """The job is made when the event is routed, some milliseconds after it was sent."""
    while True:
        try:
            return await upnext.Future[Any](job_id).result()
        except upnext.JobNotFoundError:
            await anyio.sleep(0.01)


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
