"""Everything of events, and what several verbs do with it; the twin of `_roll.lua`."""

from __future__ import annotations

from attrs import define

from upnext.model.event import NewEvent, StoredEvent, TakenEvent
from upnext.store.bounds import Bounds
from upnext.testing.memory_store.channels import Channels
from upnext.testing.memory_store.line import Line
from upnext.testing.memory_store.queue import HUNGRY_LIVE

SEEN_LIVE = 15 * 60_000
"""Milliseconds for which sending an event again is a no-op."""


@define(eq=False, kw_only=True)
class EventRecord:
    """One stored event, until it is concluded."""

    new: NewEvent
    entry: int
    sent_at: int
    owner: str = ""
    taken_at: int = 0
    done: frozenset[str] = frozenset()

    def as_taken(self) -> TakenEvent:
        """What a router is given."""
        new = self.new
        return TakenEvent(
            entry=str(self.entry),
            id=new.id,
            name=new.name,
            data=new.data,
            sent_at=self.sent_at,
            parent_id=new.parent_id,
            root_id=new.root_id,
            deadline=new.deadline,
            done=self.done,
        )

    def as_stored(self) -> StoredEvent:
        """What a look shows."""
        new = self.new
        return StoredEvent(
            id=new.id,
            name=new.name,
            data=new.data,
            sent_at=self.sent_at,
            parent_id=new.parent_id,
        )


class Events:
    """Owns what the keys under the prefix of events hold.

    Attributes:
        sent: Events that wait to be routed or are being routed, by entry, the oldest first.
        seen: Event id -> until when sending it again is a no-op.
        holders: (name, key) -> the event that has the key, and until when.
        unhandled: When it was set aside, and the event; the oldest first.
        handlers: Function -> what it listens to.
        declared: Function -> when a worker last said that it runs it.
        version: Changes with the handlers.
        hungry_live: Milliseconds for which a router that has nothing to do is remembered.
    """

    def __init__(self, prefix: str, bounds: Bounds, channels: Channels) -> None:
        self.prefix = prefix
        self.bounds = bounds
        self.sent: dict[int, EventRecord] = {}
        self.seen: dict[str, int] = {}
        self.holders: dict[tuple[str, str], tuple[str, int]] = {}
        self.unhandled: list[tuple[int, StoredEvent]] = []
        self.handlers: dict[str, bytes] = {}
        self.declared: dict[str, int] = {}
        self.version = 0
        self.hungry_live = HUNGRY_LIVE
        self._entries = 0
        self._publish = channels.publish
        self._hungry = Line()
        self._roll_until = 0

    def expire(self, now: int) -> None:
        """Forget what has outlived its time, as a server does by itself."""
        for seen in [seen for seen, until in self.seen.items() if until < now]:
            del self.seen[seen]
        for key in [key for key, (_, until) in self.holders.items() if until < now]:
            del self.holders[key]
        self._hungry.expire(now)
        if self._roll_until < now:
            self.handlers.clear()
            self.declared.clear()

    def store(self, new: NewEvent, now: int) -> None:
        """Let an event wait for a router."""
        self._entries += 1
        self.sent[self._entries] = EventRecord(new=new, entry=self._entries, sent_at=now)
        self.seen[new.id] = now + SEEN_LIVE

    def keep_roll(self, now: int) -> None:
        """Somebody has handlers."""
        self._roll_until = now + self.bounds.handler_ttl

    def forget_handlers(self, now: int) -> None:
        """Forget the handlers that no worker has declared for so long."""
        limit = now - self.bounds.handler_ttl
        gone = [name for name, at in self.declared.items() if at <= limit]
        for name in gone:
            del self.declared[name]
            self.handlers.pop(name, None)
        if gone:
            self.version += 1

    def feel_hungry(self, channel: str, now: int) -> None:
        """A router has nothing to do."""
        self._hungry.join(channel, now, now + self.hungry_live)

    def forget_hunger(self, channel: str) -> None:
        """A router stops."""
        self._hungry.leave(channel)

    def wake(self) -> None:
        """Tell the router that had nothing to do for longest; those who are gone are forgotten."""
        while channel := self._hungry.pop():
            if self._publish(channel, f"work {self.prefix}".encode()):
                return
