"""Which functions are worth asking for work."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

SWEPT_AT_ONCE = 5
"""Functions in one sweep: wake-ups are rarely lost, and an idle worker should be quiet."""


class Demand:
    """Owns the set of functions that may have waiting jobs. Touched from the event loop only.

    A function is dry once a claim found less than it asked for: the store then remembers this
    worker as hungry and tells it when work comes. A sweep over everything now and then covers
    a lost message.
    """

    def __init__(self, functions: Sequence[str]) -> None:
        self._functions = list(functions)
        self._wet = dict.fromkeys(functions)  # ordered: the one served last goes to the end
        self._next_swept = 0
        self._changed = anyio.Event()

    @property
    def dry(self) -> bool:
        return not self._wet

    def note(self, function: str) -> None:
        """Work came for this function."""
        if function not in self._wet:
            self._wet[function] = None
        self._changed.set()

    def note_all(self) -> None:
        """Anything may have come: after a gap in the messages, or to sweep."""
        self._wet.update(dict.fromkeys(self._functions))
        self._changed.set()

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
            self._changed = anyio.Event()
            await self._changed.wait()

    def plan(self, room: int) -> list[tuple[str, int]]:
        """Share the room among the functions with work: which to ask, and for how many.

        They count as dry from here on, until `note` or `filled` says otherwise: news of work may
        come in before the answer to the claim that it overtakes. With less room than functions
        the ones that waited longest are asked; over the next rounds every one gets its turn.
        """
        names = list(self._wet)[:room]
        if not names:
            return []
        for name in names:
            del self._wet[name]
        share, extra = divmod(room, len(names))
        return [(name, share + (i < extra)) for i, name in enumerate(names)]

    def filled(self, functions: Sequence[str]) -> None:
        """These gave all they were asked for: probably they have more."""
        self._wet.update(dict.fromkeys(functions))
