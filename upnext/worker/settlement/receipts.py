"""Who waits until an outcome is written."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio
from attrs import define, field

from upnext.model.job import Held
from upnext.model.outcome import Settled


@define(eq=False)
class Receipt:
    """The store's answer to one outcome, once it is there."""

    answer: Settled | str | None = None
    _told: anyio.Event = field(factory=anyio.Event)

    async def written(self) -> bool:
        """Wait for the answer. False: the job is another worker's by now, or was refused."""
        await self._told.wait()
        return self.answer is Settled.APPLIED or self.answer is Settled.REPEATED

    def tell(self, answer: Settled | str) -> None:
        """The store has answered."""
        self.answer = answer
        self._told.set()


class Receipts:
    """Owns the table of those who wait for an answer. Touched from the event loop only."""

    def __init__(self) -> None:
        self._awaited: dict[tuple[str, int], Receipt] = {}

    def __len__(self) -> int:
        return len(self._awaited)

    @contextmanager
    def expect(self, held: Held) -> Generator[Receipt]:
        """Hear of this outcome. Enter before it is put into the outbox."""
        key = held.id, held.delivery
        receipt = self._awaited[key] = Receipt()
        try:
            yield receipt
        finally:
            del self._awaited[key]

    def tell(self, held: Held, answer: Settled | str) -> None:
        """The store has answered; who waits for it, if anybody, goes on."""
        receipt = self._awaited.get((held.id, held.delivery))
        if receipt is not None:
            receipt.tell(answer)
