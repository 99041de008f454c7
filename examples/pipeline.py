"""A pipeline of three stages, under one deadline and one cancellation.

The fastest mirror wins, the parts run side by side, and whoever ends the pipeline ends every job
of it, wherever it runs.

python examples/pipeline.py
"""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("pipeline", concurrency=8)

MIRRORS = {"near": 0.02, "far": 30.0, "broken": 0.0}
"""Seconds that each takes to answer."""


@worker.task
async def download(mirror: str) -> list[int]:
    """Stage 1."""
    if mirror == "broken":
        raise ConnectionError("no answer")
    await anyio.sleep(MIRRORS[mirror])
    return list(range(1, 9))


@worker.task(retries=2, retry_delay=0.05)
async def convert(part: list[int], pause: float) -> int:
    """Stage 2, a job for each part; a part that fails is tried again."""
    if part[0] == 3 and upnext.get_current_context().attempt == 1:
        raise ValueError("a bad block")
    await anyio.sleep(pause)
    return sum(number**2 for number in part)


@worker.task
async def store(total: int) -> str:
    """Stage 3."""
    return f"stored {total}"


@worker.task
async def pipeline(pause: float = 0.0) -> str:
    """All stages. Waiting for the others, it lends its slot to them."""
    context = upnext.get_current_context()
    async with upnext.group(policy="first_wins") as mirrors:
        for mirror in MIRRORS:
            await mirrors.submit(download, mirror)
    assert mirrors.first is not None
    numbers: list[int] = mirrors.first.value

    parts = [numbers[n : n + 2] for n in range(0, len(numbers), 2)]
    context.set_progress(0.5, "converting")
    async with upnext.group(max_concurrency=3) as group:
        sums = [await group.submit(convert, part, pause) for part in parts]
    total = sum([await future.value() for future in sums])

    return (await store.wait(total)).value


async def told(future: upnext.Future[str]) -> str:
    try:
        return await future.value()
    except upnext.TaskExecutionError as error:
        return error.error or error.status.value


async def main() -> None:
    print("done:", await told(await pipeline.submit()))

    # A deadline counts from the submit, and each job passes on what is left of it: the parts
    # expire with the pipeline.
    future = await pipeline.options(deadline=1).submit(pause=60)
    print("late:", await told(future))

    future = await pipeline.submit(pause=60)
    async for progress in future.progress():
        if progress.message == "converting":
            break
    await future.cancel("the order was withdrawn")
    print("withdrawn:", await told(future))
    print("left running:", len(await future.unfinished()))


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
