"""Tasks for worker processes: they import this module again."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any

from upnext import Discard, Retry, SyncExecutor, Worker, get_current_context

worker = Worker("processes", concurrency=2, sync_executor=SyncExecutor.PROCESS)


@worker.task
def who_am_i() -> dict[str, Any]:
    context = get_current_context()
    return {
        "pid": os.getpid(),
        "job_id": context.job_id,
        "root_id": context.root_id,
        "parent_id": context.parent_id,
        "attempt": context.attempt,
    }


@worker.task(timeout=1)
def too_slow(path: str) -> None:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(3600)


@worker.task
def wicked(how: str) -> Any:
    match how:
        case "error":
            raise KeyError("k")
        case "exit":
            sys.exit(3)
        case "die":
            os._exit(3)
        case "discard":
            raise Discard("no use")
        case "retry":
            raise Retry(1)
        case "unspeakable":
            raise UnspeakableError
        case _:
            return object()


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __reduce__(self) -> Any:
        raise TypeError("cannot be pickled")


@worker.task
def talk(chunks: int) -> list[Any]:
    """Says everything that a job can say."""
    context = get_current_context()
    for n in range(chunks):
        context.stream_sync(n)
    context.set_progress(50, "half")
    context.set_progress(50.1)
    logging.getLogger("app").warning("from %s", "a process")
    logging.getLogger("app").debug("too quiet")
    context.send_log("info", "sent", n=1)
    left = context.time_left()
    return [left is not None and 1700 < left <= 1800, context.is_cancelled]


@worker.task(retries=1, retry_delay=0, timeout=4)
def save_and(how: str) -> Any:
    """Saves where it is, and then its process dies, or is killed."""
    context = get_current_context()
    if context.checkpoint_state is not None:
        return context.checkpoint_state
    for n in range(100):
        context.stream_sync(n)
        context.checkpoint({"n": n})
    if how == "hang":
        time.sleep(3600)
    os._exit(3)
