"""What a job says, as whoever submitted it hears it: progress, log lines, output."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Generator
from contextlib import nullcontext
from typing import Any, Generic, TypeVar

import anyio

from upnext.client import sync
from upnext.client.connect import connect
from upnext.client.patience import next_look
from upnext.client.ports import BlockingQueue
from upnext.errors import JobNotFoundError, OutputLostError
from upnext.model.report import Entry, Heard, LogLine, Progress, line_of
from upnext.redis.waiter import Waiter
from upnext.tasks.context import current_context
from upnext.tasks.words import chunk_read

V = TypeVar("V")

MOST_PER_READ = 200
OVER = b"over"


class Following(ABC, AsyncIterator[V], Generic[V]):
    """Hears one job, from a place on, until it is over; `async for` reads it.

    Nothing is open between two items: leaving the loop in the middle leaves nothing behind, and
    another loop over the same object goes on behind the item read last. An error of the
    connection passes; asking for the next item again misses nothing and repeats nothing.
    """

    _kind: str
    _what: str

    def __init__(
        self, job_id: str, url: str | None, after: str = "", *, follow: bool = True
    ) -> None:
        self.job_id = job_id
        self.position: str = after
        """The place of the item read last; hand it to a new listener to go on from there."""
        self._url = url
        self._follow = follow
        self._place = _Place(after)
        self._items: deque[tuple[str, V]] = deque()
        self._over = False

    async def __anext__(self) -> V:
        if not self._items and not self._over:
            await self._pull()
        if not self._items:
            raise StopAsyncIteration
        return self._next()

    def sync(self) -> Generator[V]:
        """The same for code that does not await. Blocks the thread."""
        if sync.may_await():
            while (item := sync.through_loop(self._next_or_none)) is not None:
                yield item[0]
            return
        store = sync.blocking_client(self._url).store
        while not self._over:
            self._pull_sync(store)
            while self._items:
                yield self._next()

    def _next(self) -> V:
        self.position, item = self._items.popleft()
        return item

    async def _next_or_none(self) -> tuple[V] | None:
        # A StopAsyncIteration does not pass through what joins threads and loops.
        try:
            return (await self.__anext__(),)
        except StopAsyncIteration:
            return None

    async def _pull(self) -> None:
        """Wait until there is an item, or the end."""
        client = await connect(self._url)
        store, waiter = client.store, Waiter()

        def hear(payload: bytes) -> None:
            if payload == OVER or self._kind in payload.decode(errors="replace"):
                waiter.wake()

        channel = store.keys.said_channel(self.job_id)
        ear = store.subscribe(channel, hear, waiter.wake)
        context = current_context.get(None)
        lender = None if context is None else context.lender
        try:
            while True:
                # The subscription travels ahead of the first look: what is said after that look
                # is heard.
                waiter.done = False
                after = self._place.entry
                heard = await store.follow(self.job_id, self._what, after, MOST_PER_READ)
                look_in = self._take(heard)
                if self._has_news:
                    return
                await ear.ready()
                async with nullcontext() if lender is None else lender.lend((self.job_id,)):
                    with anyio.move_on_after(look_in):
                        await store.attend(waiter)
        finally:
            ear.close()

    def _pull_sync(self, store: BlockingQueue) -> None:
        with store.listen(store.keys.said_channel(self.job_id)) as listener:
            while True:
                after = self._place.entry
                heard = store.follow(self.job_id, self._what, after, MOST_PER_READ)
                look_in = self._take(heard)
                if self._has_news:
                    return
                listener.hear(sync.QUIET if look_in is None else min(sync.QUIET, look_in))

    @property
    def _has_news(self) -> bool:
        """Whether somebody can be told something by now, if only that there is no more."""
        return bool(self._items) or self._over

    def _take(self, heard: Heard | None) -> float | None:
        """Take in what was found.

        Returns:
            Seconds after which to look without having heard anything: of a job that waits too long
            nobody else may take notice. None: there is no need to.
        """
        if heard is None:
            raise JobNotFoundError(self.job_id)
        self._add(heard)
        # What is over says no more; all of that was read if it fitted, and nothing was put off.
        ended = heard.status.is_terminal() or not self._follow
        last = heard.entries[-1].id if heard.entries else self._place.entry
        full = len(heard.entries) == MOST_PER_READ
        self._over = ended and not full and last == self._place.entry
        return next_look(heard)

    @abstractmethod
    def _add(self, heard: Heard) -> None:
        """Make items of what was found."""


class ProgressOf(Following[Progress]):
    """The progress of a job, the newest whenever there is news."""

    _kind, _what = "progress", ""

    def __init__(self, job_id: str, url: str | None) -> None:
        super().__init__(job_id, url)
        self._last: Progress | None = None

    def _add(self, heard: Heard) -> None:
        if heard.progress is not None and heard.progress != self._last:
            self._last = heard.progress
            self._items.append(("", heard.progress))


class Log(Following[LogLine]):
    """The log of a job, line by line."""

    _kind, _what = "log", "log"

    def _add(self, heard: Heard) -> None:
        for entry in heard.entries:
            missing = self._place.missing_before(entry)
            self._place.advance(entry)
            self._items.append((_position_of(entry), line_of(entry, missing)))


class Output(Following[Any]):
    """What a job streams, chunk by chunk, in order.

    A job that is run again (a retry, a hand-back, a rescue) streams again from where it pleases;
    what it streamed before remains. `restarts` counts that, as of the chunk read last.
    """

    _kind, _what = "output", "out"

    def __init__(self, job_id: str, url: str | None, after: str = "") -> None:
        super().__init__(job_id, url, after)
        self.attempt: int = 0
        """The attempt that streamed the chunk read last."""
        self.restarts: int = 0
        """How often another run of the job took over since this began to listen."""
        self._runs: deque[tuple[int, int]] = deque()
        self._delivery = self._place.delivery

    def _add(self, heard: Heard) -> None:
        for entry in heard.entries:
            if missing := self._place.missing_before(entry):
                if self._items:
                    return  # they come first
                self._place.skip_to(entry)
                raise OutputLostError(self.job_id, missing)
            self._place.advance(entry)
            self._items.append((_position_of(entry), chunk_read(entry.payload, entry.kind)))
            self._runs.append((entry.attempt, entry.delivery))

    def _next(self) -> Any:
        chunk = super()._next()
        self.attempt, delivery = self._runs.popleft()
        if self._delivery not in (0, delivery):
            self.restarts += 1
        self._delivery = delivery
        return chunk


class _Place:
    """Where a listener is, and so how much he has missed.

    Raises:
        ValueError: the text is no place that a listener named.
    """

    def __init__(self, position: str) -> None:
        self.entry, self.delivery, self.number = "", 0, 0
        if position:
            found = _POSITION.fullmatch(position)
            if found is None:
                raise ValueError(f"{position!r} is no position in what a job says")
            self.entry = found[1]
            self.delivery, self.number = int(found[2]), int(found[3])

    def missing_before(self, entry: Entry) -> int:
        """How many are not kept between this place and an entry."""
        return entry.number - 1 - (self.number if entry.delivery == self.delivery else 0)

    def skip_to(self, entry: Entry) -> None:
        """Do without what is missing before an entry."""
        self.delivery, self.number = entry.delivery, entry.number - 1

    def advance(self, entry: Entry) -> None:
        """Be at this entry."""
        self.entry, self.delivery, self.number = entry.id, entry.delivery, entry.number


def _position_of(entry: Entry) -> str:
    return f"{entry.id}/{entry.number}"


_POSITION = re.compile(r"((\d+)-\d+)/(\d+)")
