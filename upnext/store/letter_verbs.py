"""The verbs of dead letters, bound to one link."""

from __future__ import annotations

from collections.abc import Sequence

from upnext.contracts.keys import Keys
from upnext.model.job import Letters, Replayed
from upnext.redis.library import Caller
from upnext.store.bounds import Bounds
from upnext.store.dead import dead_call, parse_dead
from upnext.store.purge import purge_calls
from upnext.store.replay import parse_replayed, replay_calls


class LetterVerbs:
    """The part of a store that holds dead letters."""

    keys: Keys
    bounds: Bounds
    _call: Caller

    async def dead_letters(
        self,
        function: str,
        count: int = 100,
        since: int | None = None,
        until: int | None = None,
        behind: tuple[int, str] | None = None,
    ) -> Letters:
        """A page of a function's dead letters, the latest first, behind the last one seen."""
        call = dead_call(
            self.keys, self.bounds, function, count=count, since=since, until=until, behind=behind
        )
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_dead(reply)

    async def replay(self, function: str, letters: Sequence[tuple[str, str]]) -> list[Replayed]:
        """Make new jobs of dead letters, each given as its id and the new id; safe to repeat."""
        calls = replay_calls(self.keys, self.bounds, function, letters)
        replies = await self._call.call_many(calls, idempotent=True)
        return [answer for reply in replies for answer in parse_replayed(reply)]

    async def purge(self, function: str, ids: Sequence[str]) -> int:
        """Delete dead letters with their records; the answer counts those there were."""
        calls = purge_calls(self.keys, function, ids)
        return sum(await self._call.call_many(calls, idempotent=True))
