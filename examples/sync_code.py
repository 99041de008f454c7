"""No `async` anywhere: sync tasks in the worker's threads, sync calls in the program.

The `_sync` calls work from any thread, again and again.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

from _beside import beside

import upnext

worker = upnext.Worker("threads", concurrency=4)


@worker.task
def digest(text: str, rounds: int = 20_000) -> str:
    """Runs in a thread: the worker's event loop goes on meanwhile."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", rounds).hex()[:12]


@worker.task(timeout=0.3)
def search(limit: int) -> int:
    """A thread cannot be interrupted from outside, so it looks whether it should stop."""
    for _ in range(limit):
        upnext.check_cancelled()
        time.sleep(0.01)  # a bit of blocking work
    return limit


def main() -> None:
    print("ann", digest.wait_sync("ann").value)

    future = digest.submit_sync("ben")
    print("ben", future.value_sync(timeout=30))

    words = ["cid", "dan", "eve"]
    with ThreadPoolExecutor() as threads:
        for result in threads.map(digest.wait_sync, words):
            print(result.function, result.value)

    try:
        search.wait_sync(1_000_000)
    except upnext.TaskTimeoutError as error:
        print(error.error)


if __name__ == "__main__":
    with beside(__file__):
        main()
