"""The verbs of events, as a memory store has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upnext.contracts.keys import Keys
from upnext.errors import EventRefusedError
from upnext.model.event import Concluded, EventsView, NewEvent, Sent, Taken
from upnext.store.bounds import Bounds
from upnext.testing.memory_store.conclude import conclude
from upnext.testing.memory_store.enlist import enlist
from upnext.testing.memory_store.events import Events
from upnext.testing.memory_store.send import send
from upnext.testing.memory_store.survey import survey
from upnext.testing.memory_store.take import take


class EventVerbs:
    """The part of a memory store that holds events. Every verb is a checkpoint first."""

    keys: Keys
    bounds: Bounds
    board: Events

    async def _now(self) -> int:
        raise NotImplementedError

    async def send(self, events: Sequence[NewEvent]) -> list[Sent | EventRefusedError]:
        """Store events; one answer each, in order."""
        return send(*await self._events(), events)

    async def take(
        self,
        worker: str,
        count: int,
        lease: int,
        version: str = "",
        *,
        own: bool = False,
        left: bool = False,
    ) -> Taken:
        """Take up to `count` events to route, for `lease` milliseconds; see `Store.take`."""
        board, now = await self._events()
        channel = self.keys.worker_channel(worker)
        return take(board, now, worker, channel, count, lease, version, own=own, left=left)

    async def conclude(self, worker: str, concluded: Sequence[Concluded]) -> list[bool]:
        """Say what became of events; whether each was this worker's to conclude."""
        return conclude(*await self._events(), worker, concluded)

    async def enlist(
        self, handlers: Mapping[str, bytes], *, starts: bool = False, off: Sequence[str] = ()
    ) -> int:
        """Put a worker's handlers on the roll; the answer counts those that were taken off."""
        return enlist(*await self._events(), handlers, starts=starts, off=off)

    async def survey(self, most: int = 100) -> EventsView:
        """What is held of events; at most so many of those that nobody handles."""
        return survey(*await self._events(), most)

    async def _events(self) -> tuple[Events, int]:
        now = await self._now()
        self.board.bounds = self.bounds
        self.board.expire(now)
        return self.board, now
