"""A job says how far it is, streams its output, fails, and goes on from its checkpoint.

python examples/progress_and_output.py
"""

from __future__ import annotations

import anyio
from _beside import beside

import upnext

worker = upnext.Worker("writer")
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]


@worker.task(retries=1, retry_delay=0.1)
async def write() -> int:
    """Stream a sentence, with an accident in the middle of the first attempt."""
    context = upnext.get_current_context()
    begin = (context.checkpoint_state or {"next": 0})["next"]
    for n in range(begin, len(WORDS)):
        if n == 5 and context.attempt == 1:
            context.log.warning("out of ink")
            raise ConnectionError("out of ink")
        await context.stream(WORDS[n])
        context.checkpoint({"next": n + 1})
        context.set_progress((n + 1) / len(WORDS), WORDS[n])
    return len(WORDS)


async def main() -> None:
    """Follow one job in three ways."""
    future = await write.submit()
    output = future.stream()  # from the beginning, whenever one begins
    words = [str(word) async for word in output]
    print(" ".join(words), f"({output.restarts} restart)")
    async for line in future.logs():
        print(line.level, line.message, f"in attempt {line.attempt}")
    async for progress in future.progress():
        print(f"{progress.percent:.0f} %: {progress.message}")
    assert words == WORDS


if __name__ == "__main__":
    with beside(__file__):
        anyio.run(main)
