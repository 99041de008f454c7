"""The verbs of dead letters, as a memory store has them."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.model.job import Letters, Replayed
from upnext.testing.memory_store.dead import dead_letters
from upnext.testing.memory_store.purge import purge
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.replay import replay


class LetterVerbs:
    """The part of a memory store that holds dead letters. Every verb is a checkpoint first."""

    async def _now(self) -> int:
        raise NotImplementedError

    def _function(self, name: str, now: int) -> Queue:
        raise NotImplementedError

    async def dead_letters(
        self,
        function: str,
        count: int = 100,
        since: int | None = None,
        until: int | None = None,
        behind: tuple[int, str] | None = None,
    ) -> Letters:
        """A page of a function's dead letters, the latest first, behind the last one seen."""
        now = await self._now()
        return dead_letters(self._function(function, now), now, count, since, until, behind)

    async def replay(self, function: str, letters: Sequence[tuple[str, str]]) -> list[Replayed]:
        """Make new jobs of dead letters, each given as its id and the new id; safe to repeat."""
        now = await self._now()
        return replay(self._function(function, now), now, letters)

    async def purge(self, function: str, ids: Sequence[str]) -> int:
        """Delete dead letters with their records; the answer counts those there were."""
        return purge(self._function(function, await self._now()), ids)
