"""The two ways to stop a worker."""

from __future__ import annotations

from math import inf

import anyio
from attrs import define, field


@define(eq=False)
class Shutdown:
    """Owns the two scopes that end a worker.

    A soft stop cancels intake and gives what runs `grace` seconds. A hard stop, or the end of
    the grace, cancels running jobs; they go back to the queue without spending an attempt.

    The end of the grace is no deadline of the hard scope: jobs would see it as their own
    (`anyio.current_effective_deadline`) and pass it on to the jobs that they wait for, which are
    to run on when this worker is gone.
    """

    grace: float
    """Seconds."""
    starting: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    """Around what comes before intake: any stop cancels it."""
    soft: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    hard: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    _grace_ends: float = field(default=inf, init=False)
    _asked: anyio.Event = field(factory=anyio.Event, init=False)
    _insisted: anyio.Event = field(factory=anyio.Event, init=False)

    def stop(self) -> None:
        """Soft stop the first time, hard stop from then on."""
        if self._asked.is_set():
            self.stop_now()
        else:
            self.begin_drain()

    def begin_drain(self) -> None:
        """Take nothing new in, finish what runs within the grace. Once is enough."""
        if not self._asked.is_set():
            self._asked.set()
            self._grace_ends = anyio.current_time() + self.grace
            self.starting.cancel("shutdown")
            self.soft.cancel("shutdown")

    def stop_now(self) -> None:
        """Cancel what runs."""
        self.begin_drain()
        self._insisted.set()
        self.hard.cancel("shutdown")

    @property
    def draining(self) -> bool:
        return self._asked.is_set()

    async def keep_time(self) -> None:
        """Begin the hard stop when the grace is over; return when one has begun."""
        await self._asked.wait()
        with anyio.move_on_at(self._grace_ends):
            await self._insisted.wait()
        self.stop_now()
