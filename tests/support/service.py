"""A service that real worker processes run in tests. Each job writes its own ledger.

One line per event, written with a single `os.write` to a file opened for appending: it survives
the kill of the process, and lines of several processes do not mix.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

import upnext

LEDGER = os.environ.get("TEST_LEDGER", os.devnull)
CONCURRENCY = int(os.environ.get("TEST_CONCURRENCY", "16"))

worker = upnext.Worker("service", concurrency=CONCURRENCY)
processes = upnext.Worker("processes", sync_executor=upnext.SyncExecutor.PROCESS)


def note(event: str, detail: str = "") -> None:
    """Write one line: event, job id, attempt, process id, detail."""
    context = upnext.get_current_context()
    line = f"{event} {context.job_id} {context.attempt} {os.getpid()} {detail}\n"
    ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, line.encode())
    finally:
        os.close(ledger)


@worker.task
async def touch(n: int) -> int:
    note("start")
    return n


@worker.task
async def work(n: int) -> int:
    note("start")
    await anyio.sleep(0.02)
    return n


@worker.task
async def nap(seconds: float) -> str:
    note("start")
    try:
        await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        note("cancelled")
        raise
    note("end")
    return "rested"


@worker.task
async def attend(path: str) -> str:
    """Rest until the file is there."""
    note("start")
    try:
        while not await anyio.Path(path).exists():  # noqa: ASYNC110 - files have no signal
            await anyio.sleep(0.02)
    except anyio.get_cancelled_exc_class():
        note("cancelled")
        raise
    note("end")
    return "rested"


@worker.task
async def block(seconds: float) -> str:
    note("start")
    time.sleep(seconds)  # noqa: ASYNC251 - a user's mistake, and the point of the test
    note("end")
    return "blocked"


@worker.task
async def stubborn() -> None:
    note("start")
    while True:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            note("swallowed")


@worker.task
def threaded(seconds: float) -> str:
    note("start")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        upnext.check_cancelled()
        time.sleep(0.005)
    return "threaded"


@worker.task
def deaf(seconds: float) -> None:
    """In a thread, and it never asks whether it was cancelled."""
    note("start")
    time.sleep(seconds)


@processes.task
def spin(seconds: float) -> int:
    note("start")
    time.sleep(seconds)
    return os.getpid()


@processes.task
def die() -> None:
    note("start")
    os._exit(9)


@processes.task(retries=1, retry_delay=0.05, dead_letter=True)
def die_and_be_kept() -> None:
    note("start")
    os._exit(9)


@worker.task
async def poison(n: int) -> int:
    note("start")
    if n < 0:
        os._exit(9)
    await anyio.sleep(0.02)
    return n


@worker.task
async def tree(depth: int) -> int:
    note("start")
    if depth == 0:
        return 1
    return await (await tree.submit(depth - 1)).value()


@worker.task
async def trunk(depth: int, go: str) -> int:
    """Have all jobs below it queued or not even submitted until the file is there."""
    note("start")
    future = await tree.submit(depth - 1)
    while not await anyio.Path(go).exists():  # noqa: ASYNC110 - files have no signal
        await anyio.sleep(0.02)
    return await future.value()


@worker.task
async def grow(branches: int, leaves: int) -> None:
    """The root of a tree over all slots of all workers."""
    async with beginning():
        await straggler.submit()
        for _ in range(branches):
            await branch.submit(leaves)
        await anyio.sleep_forever()


@worker.task
async def branch(leaves: int) -> None:
    async with beginning():
        try:
            await upnext.submit_many(leaf, [{"n": n} for n in range(leaves)])
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(deadline=anyio.current_time() + 5, shield=True):
                try:
                    await leaf.submit(-1)
                except upnext.JobRefusedError:
                    note("refused")


@worker.task
async def leaf(n: int) -> None:
    async with beginning():
        await anyio.sleep_forever()


@worker.task
def straggler() -> None:
    """Runs in a thread, until it is told."""
    note("start")
    try:
        while True:
            upnext.check_cancelled()
            time.sleep(0.005)
    finally:
        note("stopped")


@worker.task
async def over_processes() -> None:
    async with beginning():
        await spin.submit(60.0)
        await anyio.sleep_forever()


@worker.task
async def grouped(naps: int) -> None:
    """Children of a block, one of which fails once all have begun."""
    async with upnext.group() as g:
        for _ in range(naps):
            await g.submit(nap, 60.0)
        await g.submit(breaks, 1.0)


@worker.task
async def breaks(seconds: float) -> None:
    note("start")
    await anyio.sleep(seconds)
    raise ValueError("no luck")


@asynccontextmanager
async def beginning() -> AsyncGenerator[None]:
    """Note the start of a job and its cancellation."""
    note("start")
    try:
        yield
    except anyio.get_cancelled_exc_class():
        note("cancelled")
        raise


@worker.task(retries=3, retry_delay=0.05)
async def third_time_lucky() -> int:
    attempt = upnext.get_current_context().attempt
    if attempt < 3:
        raise ConnectionError(f"attempt {attempt}")
    return attempt


@worker.task
async def unencodable() -> object:
    return object()


def talk(chunks: int, hold: str) -> str:
    """Say everything a job can say, and wait while the file `hold` exists."""
    context = upnext.get_current_context()
    for n in range(chunks):
        context.stream_sync(n)
    context.set_progress(25, "a quarter")
    context.set_progress(25.1)
    context.checkpoint({"chunks": chunks})
    logging.getLogger("service").info("talked")
    while hold and os.path.exists(hold):
        time.sleep(0.01)
    return context.function


talk_in_thread = worker.task(name="talk_in_thread")(talk)


@worker.task
async def talk_in_loop(chunks: int, hold: str) -> str:
    return talk(chunks, hold)


@processes.task
def talk_in_process(chunks: int, hold: str) -> str:
    return talk(chunks, hold)


shop = upnext.Worker("shop", concurrency=CONCURRENCY)
"""Three handlers of orders, in a process of their own."""
back = upnext.Worker("back office", concurrency=CONCURRENCY)
"""Two more in another process; one of them by wildcard."""
paid = shop.event("order.paid")


@paid.on
async def receipt(n: int) -> None:
    note("start", "receipt")


@paid.on(retries=2)
async def reserve(n: int) -> None:
    note("start", "reserve")


@shop.event("order.*").on
def audit(n: int) -> None:
    note("start", "audit")


@back.event("**").on
async def journal(**data: object) -> None:
    note("start", "journal")


@back.event("order.paid").on(name="book keeping")
async def book(n: int) -> None:
    note("start", "book")


@processes.event("order.packed").on
def pack(n: int) -> str:
    note("start", "pack")
    return f"{upnext.get_current_context().event} {os.getpid()}"


@shop.task
async def sell(n: int) -> str:
    return await receipt.send(n)


crons = upnext.Worker("crons", concurrency=CONCURRENCY)


@crons.cron("* * * * * *")
async def every_second() -> None:
    at = upnext.get_current_context().scheduled_at
    note("tick", "" if at is None else str(round(at.timestamp())))


@crons.cron("*/2 * * * * *", overlap="queue", arguments={"seconds": 3.0})
async def one_by_one(seconds: float) -> None:
    note("enter")
    await anyio.sleep(seconds)
    note("leave")
