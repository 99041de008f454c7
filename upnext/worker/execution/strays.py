"""Keeps a task of the worker going that was cancelled, though by no scope.

On asyncio a job can cancel the task that runs it, and do so when it is over already: with its last
step, or by a time limit of its own making that nobody called off. Such a cancellation is nobody's
to take, so it would end the group of all that run here, and the worker with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

import anyio

from upnext.model.job import Held
from upnext.redis.loops import primitives
from upnext.worker.execution.blame import is_the_jobs
from upnext.worker.log import logger

T = TypeVar("T")


async def outlive(before: int, held: Held) -> None:
    """Have this task go on if what ran in it for a job, and is over, has cancelled it.

    Args:
        before: How often that had been asked for already.
        held: The job.
    """
    loop = primitives()
    if loop.cancels() <= before or anyio.current_effective_deadline() == -inf:
        return  # or a scope asked for it
    if await loop.persist(before):
        tell_of_stray(held)


async def undisturbed(call: Callable[[], Awaitable[T]], held: Held) -> T:
    """Await something on behalf of a job that is over; again, if a stray cancellation ends that.

    Args:
        call: Begins it; doing that twice is allowed.
        held: The job.
    """
    loop = primitives()
    before = loop.cancels()
    while True:
        try:
            return await call()
        except anyio.get_cancelled_exc_class() as raised:
            if not is_the_jobs(raised):
                raise
        await loop.persist(before)
        tell_of_stray(held)


def tell_of_stray(held: Held | None) -> None:
    """Log that a task goes on although it was cancelled.

    Args:
        held: What ran in it last; None: nothing did.
    """
    if held is None:
        logger.warning("a task of the worker was cancelled, by no scope: it goes on")
        return
    logger.warning(
        "the task that ran %s (%s) was cancelled after the job, by no scope: it goes on;"
        " what calls cancel() on the task of a job has to be called off when the job is over",
        held.function,
        held.id,
        extra={"job_id": held.id, "function": held.function, "delivery": held.delivery},
    )
