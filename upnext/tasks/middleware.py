"""What users put around every attempt of a worker's jobs."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from upnext.tasks.context import Context
from upnext.tasks.hooks import name_of

Middleware = Callable[[Context], AsyncIterator[None]]
"""An async generator function that takes the context and yields once, where the job runs."""


def check_middleware(function: Callable[..., Any]) -> None:
    """See that a function can be a middleware.

    Raises:
        TypeError: it cannot; one line says why.
    """
    if not inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{name_of(function)} is no middleware: write `async def {name_of(function)}(ctx):`"
            " with one `yield`, where the job runs, and no @asynccontextmanager"
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise TypeError(
            f"{name_of(function)} is no middleware: it must take one argument, the context"
        ) from None
