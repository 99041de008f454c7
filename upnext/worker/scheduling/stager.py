"""Moves due jobs to where they are claimed."""

from __future__ import annotations

from math import inf

import anyio
from attrs import define, field
from redis.exceptions import RedisError

from upnext.model.job import Staged
from upnext.worker.log import logger
from upnext.worker.ports import StagePort

SWEEP_INTERVAL = 5.0
"""Seconds after which a schedule is looked at unbidden, in case a message was lost; with many
functions one a second."""

RETRY_INTERVAL = 0.5
"""Seconds after which it tries again what the broker refused."""


@define(eq=False)
class Stager:
    """Sleeps until the earliest job of any of its functions is due.

    Every worker stages its own functions: the script is atomic, so two at once do no harm and
    none has to be elected. `note` is called when a function's earliest job changes.
    """

    store: StagePort
    functions: list[str]
    every: float = SWEEP_INTERVAL
    """Seconds between two sweeps."""
    _due: dict[str, float] = field(factory=dict[str, float], init=False)
    """When to look at a function again, by the event loop's clock. Written by `note` too."""
    _changed: anyio.Event = field(factory=anyio.Event, init=False)

    def note(self, function: str) -> None:
        """The earliest scheduled job of this function changed."""
        self._due[function] = 0.0
        self._changed.set()

    def note_all(self) -> None:
        """Any of them may have changed."""
        for function in self.functions:
            self.note(function)

    async def run(self) -> None:
        self.note_all()
        while True:
            now = anyio.current_time()
            due = [name for name in self.functions if self._due[name] <= now]
            if due:
                await self._stage(due)
                continue
            self._changed = anyio.Event()
            with anyio.move_on_at(min(self._due.values(), default=inf)):
                await self._changed.wait()

    async def _stage(self, functions: list[str]) -> None:
        for name in functions:
            self._due[name] = anyio.current_time() + max(self.every, len(self.functions))
        try:
            for staged in await self.store.stage(functions):
                self._plan(staged)
        except RedisError as error:
            logger.warning("cannot move due jobs: %s", error)
            again = anyio.current_time() + RETRY_INTERVAL
            self._due.update((name, min(self._due[name], again)) for name in functions)

    def _plan(self, staged: Staged) -> None:
        if staged.next_due_in is not None:
            # Half a millisecond late is right on time; half a millisecond early is a round trip.
            due = anyio.current_time() + staged.next_due_in / 1000 + 0.0005
            self._due[staged.function] = min(self._due[staged.function], due)
