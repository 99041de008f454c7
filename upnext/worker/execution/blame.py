"""Whose doing it is that an attempt raised: the function's, or that of whoever stops it."""

from __future__ import annotations

from math import inf
from typing import cast

import anyio

from upnext.client.result import TaskExecutionError
from upnext.model.status import JobStatus


def is_the_jobs(raised: BaseException) -> bool:
    """Whether the function raised this by itself; else somebody stops this task or the process.

    On asyncio a function may await something that was cancelled, with no scope around it. Taken
    for a cancellation of this task, that would end the worker. `sys.exit()` in a function would
    as well, and the next worker that gets the job; so would a panic in an extension module
    (https://docs.rs/pyo3/latest/pyo3/panic/struct.PanicException.html).
    """
    if isinstance(raised, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", raised)
        return all(map(is_the_jobs, group.exceptions))
    if isinstance(raised, anyio.get_cancelled_exc_class()):
        return anyio.current_effective_deadline() > -inf
    return not isinstance(raised, KeyboardInterrupt | GeneratorExit)


def is_cancellation(raised: BaseException | None) -> bool:
    """Whether it is a cancellation, or one among other errors."""
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(raised, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", raised).subgroup(cancelled) is not None
    return isinstance(raised, cancelled)


def without_the_jobs(raised: BaseException) -> BaseException:
    """What stops this task, without the errors that the function adds to it on its way out.

    On Trio a function that is cancelled may raise both together, in a group. Left in, its errors
    would outlive the scope that takes the cancellation, as a crash of the worker.
    """
    if not isinstance(raised, BaseExceptionGroup):
        return raised
    group = cast("BaseExceptionGroup[BaseException]", raised)
    _, rest = group.split(is_the_jobs)
    return group if rest is None else rest


def is_of_expired_jobs(raised: BaseException) -> bool:
    """Whether it says of nothing but other jobs that their deadlines passed."""
    if isinstance(raised, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", raised)
        return all(map(is_of_expired_jobs, group.exceptions))
    return isinstance(raised, TaskExecutionError) and raised.status is JobStatus.EXPIRED
