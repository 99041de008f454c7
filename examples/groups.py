"""Jobs as the children of a block: leaving it waits for all, and one failure ends the others."""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("kitchen", concurrency=4)


@worker.task
async def cook(dish: str, minutes: float) -> str:
    """A minute here is a hundredth of a second."""
    await anyio.sleep(minutes / 100)
    if dish == "soufflé":
        raise RuntimeError("it collapsed")
    return dish


@worker.task
async def dinner(dishes: dict[str, float]) -> list[str]:
    """A job whose children are jobs."""
    async with upnext.group() as g:
        futures = [await g.submit(cook, dish, minutes) for dish, minutes in dishes.items()]
    return [await future.value() for future in futures]


async def main() -> None:
    served = await dinner.wait({"soup": 5, "roast": 20, "cake": 10})
    print("served:", ", ".join(served.value))

    try:
        async with upnext.group() as g:
            roast = await g.submit(cook, "roast", 6000)
            await g.submit(cook, "soufflé", 10)
    except* upnext.TaskExecutionError as failed:
        print("sent back:", *[error.error for error in failed.exceptions])
        print("the roast is", await roast.status())

    async with upnext.group(policy="first_wins") as g:
        for dish, minutes in (("stew", 6000), ("omelette", 5), ("pie", 6000)):
            await g.submit(cook, dish, minutes)
    if g.first is not None:
        print("first on the table:", g.first.value)


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
