"""Pause and resume: a task, a worker's tasks, or everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from upnext.client import sync
from upnext.client.connect import connect
from upnext.client.declarations import TaskDeclarations
from upnext.client.handle import TaskHandle
from upnext.client.options import milliseconds, moment

__all__ = ["pause", "pause_sync", "paused", "resume", "resume_sync"]

Pausable = TaskHandle[..., Any] | TaskDeclarations


async def pause(
    *what: Pausable, until: datetime | timedelta | float | None = None
) -> datetime | None:
    """Start no more jobs of tasks. They go on to be accepted, and wait in order.

    What runs goes on; what a worker has claimed and not started is handed back. The pause holds
    for all workers, now and after a restart, and takes the place of an earlier one.

    Args:
        *what: Tasks; or workers, for all their tasks. Nothing: every task of the workspace, and
            those that are declared before it is resumed.
        until: When it ends by itself: a moment with a time zone, or a time from now in seconds or
            as a `timedelta`, both by the clock of Redis. None: when it is resumed.

    Returns:
        When it ends by itself.

    Raises:
        ValueError: `until` has no time zone.
        redis.exceptions.RedisError: the queue cannot be reached, or refused the command.
    """
    at, delay = _end(until)
    ends = [
        await (await connect(url)).store.pause(names, at, delay)
        for url, names in _targets(what).items()
    ]
    return _moment(ends[0])


async def resume(*what: Pausable) -> int:
    """Start jobs of paused tasks again.

    Args:
        *what: Tasks; or workers, for all their tasks. Nothing: every task of the workspace.

    Returns:
        How many tasks were paused.

    Raises:
        redis.exceptions.RedisError: the queue cannot be reached, or refused the command.
    """
    counts = [
        await (await connect(url)).store.resume(names) for url, names in _targets(what).items()
    ]
    return sum(counts)


async def paused(*what: Pausable) -> dict[str, datetime | None]:
    """The tasks that are paused, and when that ends; None: when they are resumed.

    Args:
        *what: Look at these tasks, or those of these workers. Nothing: every task of the workspace.

    Raises:
        redis.exceptions.RedisError: the queue cannot be reached, or refused the command.
    """
    found: dict[str, datetime | None] = {}
    for url, names in _targets(what).items():
        told = await (await connect(url)).store.paused(names)
        found |= {name: _moment(until) for name, until in told.items()}
    return found


def pause_sync(
    *what: Pausable, until: datetime | timedelta | float | None = None
) -> datetime | None:
    """`pause` for code that does not await, in any thread. Blocks the thread."""
    if sync.may_await():
        return sync.through_loop(lambda: pause(*what, until=until))
    at, delay = _end(until)
    ends = [
        sync.blocking_client(url).store.pause(names, at, delay)
        for url, names in _targets(what).items()
    ]
    return _moment(ends[0])


def resume_sync(*what: Pausable) -> int:
    """`resume` for code that does not await, in any thread. Blocks the thread."""
    if sync.may_await():
        return sync.through_loop(lambda: resume(*what))
    targets = _targets(what).items()
    return sum(sync.blocking_client(url).store.resume(names) for url, names in targets)


def _targets(what: Sequence[Pausable]) -> Mapping[str | None, list[str] | None]:
    """The names of the tasks, by where their queue is; None: all."""
    if not what:
        return {None: None}
    targets: dict[str | None, list[str]] = {}
    for one in what:
        if isinstance(one, TaskHandle):
            url, names = one.url, [one.name]
        elif isinstance(one, TaskDeclarations):  # pyright: ignore[reportUnnecessaryIsInstance]
            url, names = one.redis_url, one.registry.names
        else:
            raise TypeError(f"a task or a worker can be paused, not {one!r}")
        targets.setdefault(url, []).extend(names)
    return targets


def _end(until: datetime | timedelta | float | None) -> tuple[int | None, int | None]:
    """The moment, or the time from now, in milliseconds."""
    if until is None:
        return None, None
    if isinstance(until, datetime):
        return moment(until, "until"), None
    return None, milliseconds(until, "until")


def _moment(until: int) -> datetime | None:
    return datetime.fromtimestamp(until / 1000, UTC) if until else None
