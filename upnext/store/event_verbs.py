"""The verbs of events, bound to one link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from upnext.contracts.keys import Keys
from upnext.errors import EventRefusedError
from upnext.model.event import Concluded, EventsView, NewEvent, Sent, Taken
from upnext.redis.library import Caller
from upnext.store.bounds import Bounds
from upnext.store.conclude import conclude_call, parse_concluded
from upnext.store.enlist import enlist_call
from upnext.store.send import parse_sent, send_calls
from upnext.store.survey import parse_view, survey_call
from upnext.store.take import parse_taken, take_call


class EventVerbs:
    """The part of a store that holds events."""

    keys: Keys
    bounds: Bounds
    _call: Caller

    async def send(self, events: Sequence[NewEvent]) -> list[Sent | EventRefusedError]:
        """Store events; one answer each, in order. Sent again safely: ids make it so."""
        calls = list(send_calls(self.keys, self.bounds, events))
        replies = await self._call.call_many(calls, idempotent=True)
        return [answer for reply in replies for answer in parse_sent(reply)]

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
        """Take up to `count` events to route, for `lease` milliseconds.

        Never sent again by itself: after a failure, ask for what is one's `own`.

        Args:
            worker: The router's worker; it is woken when events come after none were left.
            count: Events wanted; 0 hands a wake-up on to another router.
            lease: Milliseconds.
            version: The version of the roll of handlers that the caller has.
            own: Give again what this worker holds.
            left: Take over what others did not conclude within the lease.
        """
        call = take_call(self.keys, self.bounds, worker, count, lease, version, own=own, left=left)
        [reply] = await self._call.call_many([call])
        return parse_taken(reply)

    async def conclude(self, worker: str, concluded: Sequence[Concluded]) -> list[bool]:
        """Say what became of events; whether each was this worker's to conclude. Idempotent."""
        call = conclude_call(self.keys, self.bounds, worker, concluded)
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_concluded(reply)

    async def enlist(
        self, handlers: Mapping[str, bytes], *, starts: bool = False, off: Sequence[str] = ()
    ) -> int:
        """Put a worker's handlers on the roll; the answer counts those that were taken off.

        Args:
            handlers: Function -> JSON of what it listens to.
            starts: What the roll says of them is replaced; else they are only kept on it.
            off: Functions to take off it.
        """
        call = enlist_call(self.keys, self.bounds, handlers, starts=starts, off=off)
        [reply] = await self._call.call_many([call], idempotent=True)
        return reply

    async def survey(self, most: int = 100) -> EventsView:
        """What is held of events; at most so many of those that nobody handles."""
        call = survey_call(self.keys, self.bounds, most)
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_view(reply)
