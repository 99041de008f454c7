"""Ending jobs: by hand, by a timeout, by a deadline. Each is a cancel scope around the job."""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("patience")


@worker.task
async def watch(place: str) -> None:
    """Would go on for ever, and leaves tidily when it is cancelled."""
    try:
        await anyio.sleep_forever()
    finally:
        upnext.get_current_context().log.warning("nobody watches the %s any more", place)


@worker.task(timeout=0.3)
async def watch_briefly(place: str) -> None:
    await anyio.sleep_forever()


async def told(future: upnext.Future[None]) -> str:
    try:
        await future.result()
    except upnext.TaskExecutionError as error:
        return f"{type(error).__name__}, {error.status}: {error.error}"
    return "complete"


async def main() -> None:
    future = await watch.submit("harbour")
    try:
        await future.result(timeout=0.3)
    except TimeoutError:
        print("harbour: we stopped waiting; the job is", await future.status())
    await future.cancel("the ship is in")
    print("harbour:", await told(future))

    print("street:", await told(await watch_briefly.submit("street")))

    # The deadline counts from the submit: waiting in the queue and retrying use it up, too.
    print("river:", await told(await watch.options(deadline=0.3).submit("river")))
    print("moon:", await told(await watch.options(delay=1, deadline=0.1).submit("moon")))


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
