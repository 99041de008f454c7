"""The store and its model side by side, driven from synchronous rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import attrs
import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.support.clocked import ClockedServer
from tests.support.events import read_events
from upnext.contracts.claimed import job_of, pack_handed, row_of, unpack_handed
from upnext.contracts.keys import GROUP, Keys
from upnext.errors import JobRefusedError
from upnext.model.job import JobRecord
from upnext.redis.link import Link
from upnext.redis.url import Address
from upnext.store.bounds import Bounds
from upnext.store.lookup import parse_record
from upnext.store.store import Store
from upnext.testing.memory import MemoryStore

KEYS = Keys("property")
FUNCTIONS = ("mail", "näher dran ☃")  # the second one's tag is a digest
BOUNDS = Bounds(
    record_ttl=60_000,
    most_rescues=3,
    most_waiting=12,
    log_bytes=400,
    output_bytes=400,
    dead_ttl=90_000,
    dead_most=3,
)
CHANNELS = ("ch1", "ch2", *(KEYS.due_channel(name) for name in FUNCTIONS))

Verb = Callable[[Any], Awaitable[Any]]
Messages = list[tuple[str, bytes]]


def plain(value: Any) -> Any:
    """A value in a form that compares by what it holds."""
    if isinstance(value, JobRefusedError):
        return (type(value), value.job_id)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return attrs.asdict(value) if attrs.has(type(value)) else value


class Rig:
    """One server, one link, and for each example an empty store and an empty model."""

    def __init__(
        self, server: ClockedServer, link: Link, client: redis.Redis, portal: BlockingPortal
    ) -> None:
        self.server = server
        self.client = client
        self._link = link
        self._portal = portal
        self.store = Store(link, KEYS, BOUNDS)
        self.model = MemoryStore(KEYS, BOUNDS)
        self._ears: list[Any] = []
        self._heard: Messages = []
        self._expected: Messages = []
        self._last_event: dict[str, str] = {}

    @classmethod
    @contextmanager
    def on(cls, server: ClockedServer) -> Iterator[Rig]:
        """A rig on this server."""
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            client = stack.enter_context(server.client())
            link = portal.call(Link, Address.parse(server.url))
            stack.callback(lambda: portal.call(link.aclose))
            yield cls(server, link, client, portal)

    def begin(self) -> None:
        """Empty both sides."""
        self._heard.clear()  # what a history that failed has left behind
        self._expected.clear()
        self.client.flushall()
        self.model = MemoryStore(KEYS, BOUNDS, clock=lambda: self.server.now)
        self._last_event = dict.fromkeys(FUNCTIONS, "-")
        self.both(lambda side: side.declare(dict.fromkeys(FUNCTIONS, b"{}")))
        for channel in CHANNELS:
            self.listen(channel)

    def end(self) -> None:
        """Stop listening."""
        self._portal.call(self._hush)

    def listen(self, channel: str) -> None:
        """Hear a channel on both sides."""
        self._portal.call(self._listen, channel)

    def both(self, verb: Verb) -> Any:
        """Do the same to both; they must answer the same, and tell the same to others."""
        model, store = self._portal.call(self._both, verb)
        assert plain(store) == plain(model), "the answers differ"
        heard, expected = sorted(self._heard), sorted(self._expected)
        self._heard.clear()
        self._expected.clear()
        assert heard == expected, "the messages differ"
        return store

    def lookup(self, ids: Sequence[str]) -> dict[str, JobRecord | None]:
        """The records of the store; they must be those of the model."""
        commands = [("HGETALL", KEYS.job(job_id)) for job_id in ids]
        replies = self._portal.call(self._link.execute_many, commands)
        found = {i: parse_record(i, reply) for i, reply in zip(ids, replies, strict=True)}
        expected = self._portal.call(self._lookup_model, ids)
        assert {i: plain(record) for i, record in found.items()} == {
            i: plain(record) for i, record in expected.items()
        }, "the records differ"
        return found

    def check_events(self) -> None:
        """What history was told since the last time must be the same, job by job."""
        for name in FUNCTIONS:
            queue = self.model.queues.get(KEYS.function(name))
            expected: dict[bytes, list[dict[bytes, bytes]]] = defaultdict(list)
            for event in queue.events if queue else ():
                fields = {k.encode(): _raw(v) for k, v in event.items()}
                expected[fields[b"id"]].append(fields)
            if queue:
                queue.events.clear()
            found: dict[bytes, list[dict[bytes, bytes]]] = defaultdict(list)
            for entry, events in read_events(
                self.client, KEYS.function(name), self._last_event[name]
            ):
                self._last_event[name] = "(" + entry.decode()
                for event in events:
                    found[event[b"id"]].append(event)
            assert found == expected, "the events differ"

    def lanes(self, name: str) -> list[str]:
        """The keys of a function's lanes."""
        prefix = KEYS.function(name)
        return [
            f"{prefix}lane:{lane.decode()}"
            for lane in self.client.zrangebyscore(prefix + "lanes", "-inf", 900)
        ]

    def in_lanes(self, name: str) -> tuple[int, int]:
        """How many entries a function's lanes hold, and how many of them are claimed."""
        lanes = self.lanes(name)
        claimed = [self.client.xpending(lane, GROUP)["pending"] for lane in lanes]
        return sum(self.client.xlen(lane) for lane in lanes), sum(claimed)

    async def _both(self, verb: Verb) -> tuple[Any, Any]:
        model, store = await verb(self.model), await verb(self.store)
        await self.store.now()  # what was published has come before this answer
        return model, store

    async def _lookup_model(self, ids: Sequence[str]) -> dict[str, JobRecord | None]:
        return {job_id: await self.model.lookup(job_id) for job_id in ids}

    async def _listen(self, channel: str) -> None:
        for side, heard in ((self.store, self._heard), (self.model, self._expected)):
            ear = side.subscribe(channel, partial(_note, heard, channel), _no_gap)
            await ear.ready()
            self._ears.append(ear)

    async def _hush(self) -> None:
        for ear in self._ears:
            ear.close()
        self._ears.clear()
        await self.store.now()
        self._heard.clear()


def _note(heard: Messages, channel: str, message: bytes) -> None:
    if message.startswith(b"job "):
        prefix, now, row = unpack_handed(message)
        # A row may be short when the job is plain; what it says is the same.
        message = pack_handed(prefix, now, row_of(job_of("", row, now)))
    heard.append((channel, message))


def _no_gap() -> None:
    raise AssertionError("the connection was lost")


def _raw(value: str | int | bytes) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
