"""Declare a task, submit jobs, get their results.

Run it: `python examples/quickstart.py`. It needs no Redis: an embedded Valkey starts by itself.
In earnest the worker has a terminal of its own (`upnext run examples/quickstart.py`), and whoever
submits is another program that imports `greet`.
"""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("quickstart", concurrency=8)


@worker.task
async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}!"


async def main() -> None:
    # One round trip, and a push when the job is done.
    result = await greet.wait("world")
    print(result.value, f"({result.status}, attempt {result.attempts})")

    # Submit now, ask later, or never.
    future = await greet.submit("Ada", greeting="Good morning")
    print(await future.value())

    # Many in one write, and all their values, in order.
    names = ["Barbara", "Edsger", "Grace"]
    futures = await upnext.submit_many(greet, [{"name": name} for name in names])
    print(await upnext.gather(*futures))


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
