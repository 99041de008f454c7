"""Which functions are worth asking for work."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import inf

import anyio

from upnext.redis.loops import Bell, primitives

SWEPT_AT_ONCE = 5
"""Functions in one sweep: wake-ups are rarely lost, and an idle worker should be quiet."""


class Demand:
    """Owns the set of functions that may have waiting jobs. Touched from the event loop only.

    A function is dry once a claim found less than it asked for: the store then remembers this
    worker as hungry and tells it when work comes. A sweep over everything now and then covers
    a lost message. Where a limit or a pause keeps jobs back until a known time, there is an alarm
    for that time: nobody asks before.

    Jobs of `limited` functions are claimed only when they can start at once: one that waited in
    an inbox would hold a place under the limit that another worker could use.
    """

    def __init__(self, functions: Sequence[str], limited: Collection[str] = ()) -> None:
        self._limited = frozenset(limited)
        self._alarms: dict[str, float] = {}
        self._functions = list(functions)
        self._wet = dict.fromkeys(functions)  # ordered: the one served last goes to the end
        self._next_swept = 0
        self._changed: Bell | None = None
        """What somebody waits for who wants to hear of changes."""

    @property
    def dry(self) -> bool:
        return not self._wet

    @property
    def held(self) -> bool:
        """Whether only limited functions may have work: they need a slot that is free."""
        return bool(self._limited) and not self._wet.keys() - self._limited

    @property
    def next_alarm(self) -> float:
        """When the first alarm goes off, by the event loop's clock."""
        return min(self._alarms.values(), default=inf)

    def set_alarms(
        self, asked: Sequence[tuple[str, int]], later: Mapping[str, int], now: float
    ) -> None:
        """A claim was answered: ask again in so many milliseconds, where it says so."""
        if not (later or self._alarms):
            return
        for function, _ in asked:
            wait = later.get(function)
            if wait is None:
                self._alarms.pop(function, None)
            else:
                # Half a millisecond late is right on time; as much too early is a round trip.
                self._alarms[function] = now + wait / 1000 + 0.0005

    def ring(self) -> None:
        """Note the functions whose alarm went off."""
        if not self._alarms:
            return
        now = anyio.current_time()
        for function in [name for name, at in self._alarms.items() if at <= now]:
            del self._alarms[function]
            self.note(function)

    def stir(self) -> None:
        """Something else changed that whoever waits should look at."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def note(self, function: str) -> None:
        """Work came for this function."""
        if function not in self._wet:
            self._wet[function] = None
        self.stir()

    def note_all(self) -> None:
        """Anything may have come: after a gap in the messages, or to sweep."""
        self._wet.update(dict.fromkeys(self._functions))
        self.stir()

    def note_some(self) -> list[str]:
        """Anything may have come unheard: look at a few functions, in turn. Returns them."""
        share = max(SWEPT_AT_ONCE, len(self._functions) // 100)
        swept: list[str] = []
        for _ in range(min(share, len(self._functions))):
            swept.append(self._functions[self._next_swept % len(self._functions)])
            self._next_swept += 1
            self.note(swept[-1])
        return swept

    async def changed(self) -> None:
        """Return when work came."""
        while self.dry:
            await self.next_change()

    async def next_change(self) -> None:
        """Return when anything is noted, be it known already, or at `stir`."""
        self._changed = primitives().bell()
        await self._changed.wait()

    def plan(self, room: int, idle: int | None = None) -> list[tuple[str, int]]:
        """Share the room among the functions with work: which to ask, and for how many.

        They count as dry from here on, until `note` or `filled` says otherwise: news of work may
        come in before the answer to the claim that it overtakes. With less room than functions
        the ones that waited longest are asked; over the next rounds every one gets its turn.

        Args:
            room: Jobs there is room for.
            idle: Those of them that would start at once; None: all. Limited functions share
                this.
        """
        names, idle = list(self._wet), room if idle is None else max(0, idle)
        if self._limited and idle < room:
            patient = [name for name in names if name in self._limited]
            names = [name for name in names if name not in self._limited or name in patient[:idle]]
        names = names[:room]
        if not names:
            return []
        for name in names:
            del self._wet[name]
        share, extra = divmod(room, len(names))
        plan: list[tuple[str, int]] = []
        for i, name in enumerate(names):
            count = share + (i < extra)
            if name in self._limited:
                count = min(count, idle)
                idle -= count
            if count:
                plan.append((name, count))
            else:
                self._wet[name] = None
        return plan

    def filled(self, functions: Sequence[str]) -> None:
        """These gave all they were asked for: probably they have more."""
        self._wet.update(dict.fromkeys(functions))
