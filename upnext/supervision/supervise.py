"""Run a command line as several processes, or again each time files change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

import anyio
from attrs import define, field

from upnext.redis.embedded import EmbeddedServer, embedded
from upnext.supervision.child import ChildProcesses
from upnext.supervision.listeners import Listeners
from upnext.supervision.supervisor import Supervisor

__all__ = ["supervise"]

logger = logging.getLogger("upnext.supervision")


def supervise(
    command: Sequence[str],
    *,
    processes: int = 1,
    grace: float,
    roots: Sequence[str] | None = None,
    backend: Literal["asyncio", "trio"] = "asyncio",
    on_started: Callable[[dict[str, Any]], None],
) -> int:
    """Run a command line until SIGTERM or SIGINT, and return the exit code.

    Args:
        command: The words that start one process. It has to take up its `Lifeline`.
        processes: How many.
        grace: Seconds they need at most to finish what they do after the first signal.
        roots: Start them anew whenever source below these folders changes. None: never.
        backend: The event loop of this process.
        on_started: Told what they run, each time that they have started anew.

    Returns:
        0 after a clean drain of all; 1 when they could not be started, or one had to be killed or
        left something undone.
    """
    return anyio.run(
        partial(_supervise, command, processes, grace, roots, on_started), backend=backend
    )


async def _supervise(
    command: Sequence[str],
    processes: int,
    grace: float,
    roots: Sequence[str] | None,
    on_started: Callable[[dict[str, Any]], None],
) -> int:
    listeners, broker, source = Listeners(), _Broker(), None
    if roots is not None:
        from upnext.supervision.changes import Source

        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells what we tell
        source = Source(list(roots))

    def declared(facts: dict[str, Any]) -> None:
        if source is not None:
            source.include(facts.get("folders", ()))

    # Compiled files are told apart by the second: an edit in the second of the last start would
    # run the old code.
    environment = {} if source is None else {"PYTHONDONTWRITEBYTECODE": "1"}
    children = ChildProcesses(command, listeners, broker.hold, declared, on_started, environment)
    supervisor = Supervisor(
        children, processes, grace, changes=None if source is None else source.changes
    )
    try:
        await supervisor.run()
    finally:
        listeners.close()
        broker.close()
    return 1 if supervisor.failed else 0


@define(eq=False)
class _Broker:
    """Owns this process's hold on the embedded server, from when a child first asks for it."""

    _held: ExitStack = field(factory=ExitStack, init=False)
    _server: EmbeddedServer | None = field(default=None, init=False)

    def hold(self) -> None:
        if self._server is None:
            self._server = self._held.enter_context(embedded())
            logger.info(self._server.describe())

    def close(self) -> None:
        self._held.close()
