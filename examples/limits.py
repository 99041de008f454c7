"""Limits: a rate, a number for each customer, turns between customers, and a pause."""

from __future__ import annotations

import time
from datetime import timedelta

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("limits", concurrency=8)


@worker.task(rate_limit="5/s")
async def send(number: int) -> float:
    """Five at once, for the bucket is full at first; then one every 200 ms."""
    return time.time()


@worker.task(max_concurrency=1, concurrency_key="{tenant_id}")
async def export(tenant_id: str, month: int) -> str:
    """One at a time for each tenant; tenants take turns."""
    await anyio.sleep(0.01)
    return f"{tenant_id}, month {month}"


async def main() -> None:
    sent = await upnext.submit_many(send, [{"number": n} for n in range(8)])
    times = await upnext.gather(*sent)
    print(f"8 jobs at 5/s took {max(times) - min(times):.1f} s")

    await upnext.submit_many(export, [{"tenant_id": "big", "month": n % 12} for n in range(500)])
    began = time.monotonic()
    result = await export.wait("small", 1)
    print(f"{result.value}: {time.monotonic() - began < 1.0} that it waited less than a second")

    await upnext.pause(export, until=timedelta(hours=1))
    print("paused:", ", ".join(await upnext.paused(export)))
    print("resumed:", await upnext.resume(export))


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
