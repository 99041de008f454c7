"""The bare loop: fetch -> executors -> settle on raw commands. What this machine and Redis allow.

Everything a job must cost is in it: it is read from a stream through a consumer group, its JSON
arguments are decoded, a coroutine is awaited in a cancel scope with a deadline, its result is
encoded and stored with a time to live, its entry is acknowledged and deleted. Everything else is
left out: no events, no leases, no retries, no limits, no cancelling, no scheduling. The worker
proper is measured against this number.

    python -m benchmarks.limit throughput      one sample: enqueue, drain, one line of JSON
    python -m benchmarks.limit work            the worker process of that sample
"""

from __future__ import annotations

import sys
import time
from typing import Any
from urllib.parse import urlsplit

import anyio
import hiredis
import orjson
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from benchmarks import sample

STREAM, GROUP, CONSUMER, RESULT = "limit:jobs", "workers", "1", "limit:result:"
BATCH = 200
DEADLINE = 30.0
RESULT_TTL = 3600

SETTLE = """
local ids = {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  redis.call('SET', KEYS[2] .. id, ARGV[i + 1], 'EX', ARGV[2])
  ids[#ids + 1] = id
end
redis.call('XACK', KEYS[1], ARGV[1], unpack(ids))
return redis.call('XDEL', KEYS[1], unpack(ids))
"""

Job = tuple[bytes, bytes]
"""Entry id and JSON arguments; on the way back, entry id and JSON result."""


class Connection:
    """One caller's socket: writes commands, reads as many replies."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._reader = hiredis.Reader()

    @classmethod
    async def open(cls) -> Connection:
        """Connect to the server of this sample."""
        parts = urlsplit(sample.REDIS_URL)
        return cls(await anyio.connect_tcp(parts.hostname or "", parts.port or 6379))

    async def call(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send the commands in one write and return their replies."""
        await self._stream.send(b"".join([hiredis.pack_command(words) for words in commands]))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(await self._stream.receive(1 << 18))
                continue
            if isinstance(reply, Exception):
                raise reply
            replies.append(reply)
        return replies


async def noop(n: int) -> int:
    """Do the job of this benchmark: nothing, but as a coroutine."""
    return n


async def put(stream: MemoryObjectSendStream[Job], job: Job) -> None:
    """Send at once where there is room; wait, and let others run, only where there is none."""
    try:
        stream.send_nowait(job)
    except anyio.WouldBlock:
        await stream.send(job)


async def fetch(inbox: MemoryObjectSendStream[Job]) -> None:
    """Read batches of new entries; a full inbox holds the next one back."""
    connection = await Connection.open()
    read = ("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", BATCH, "BLOCK", 1000)
    read += ("STREAMS", STREAM, ">")
    async with inbox:
        while True:
            (reply,) = await connection.call(read)
            for entry, fields in reply[0][1] if reply else ():
                await put(inbox, (entry, fields[1]))


async def execute(
    inbox: MemoryObjectReceiveStream[Job], outbox: MemoryObjectSendStream[Job]
) -> None:
    """Run one job after the other."""
    async with inbox, outbox:
        async for entry, arguments in inbox:
            with anyio.fail_after(DEADLINE):
                result = await noop(**orjson.loads(arguments))
            await put(outbox, (entry, orjson.dumps(result)))


async def flush(outbox: MemoryObjectReceiveStream[Job]) -> None:
    """Settle whatever has been finished since the last settle, at most one batch."""
    connection = await Connection.open()
    (script,) = await connection.call(("SCRIPT", "LOAD", SETTLE))
    async with outbox:
        async for job in outbox:
            words: list[bytes] = [*job]
            while len(words) < 2 * BATCH:
                try:
                    words += outbox.receive_nowait()
                except anyio.WouldBlock:
                    break
            await connection.call(("EVALSHA", script, 2, STREAM, RESULT, GROUP, RESULT_TTL, *words))


async def work() -> None:
    """Run the loop until the process is told to end."""
    to_inbox, inbox = anyio.create_memory_object_stream[Job](2 * BATCH)
    to_outbox, outbox = anyio.create_memory_object_stream[Job](2 * BATCH)
    async with anyio.create_task_group() as tree:
        tree.start_soon(fetch, to_inbox)
        for _ in range(sample.CONCURRENCY):
            tree.start_soon(execute, inbox.clone(), to_outbox.clone())
        tree.start_soon(flush, outbox)


async def enqueue(jobs: int) -> float:
    """Pipeline XADDs, 1,000 a write, and return the seconds that took."""
    connection = await Connection.open()
    await connection.call(("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"))
    begin = time.perf_counter()
    for start in range(0, jobs, 1000):
        numbers = range(start, min(start + 1000, jobs))
        await connection.call(
            *[("XADD", STREAM, "*", "args", orjson.dumps({"n": n})) for n in numbers]
        )
    return time.perf_counter() - begin


SUBJECT = sample.Subject(
    worker=[sys.executable, "-m", "benchmarks.limit", "work"],
    enqueue=lambda jobs: anyio.run(
        enqueue, jobs, backend=sample.LOOP, backend_options=sample.LOOP_OPTIONS
    ),
    # An entry goes in the same script that stores its result.
    finished=lambda redis, jobs: jobs - redis.integer("XLEN", STREAM),
)


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        anyio.run(work, backend=sample.LOOP, backend_options=sample.LOOP_OPTIONS)
    else:
        sample.main(SUBJECT)
