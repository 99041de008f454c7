"""One command's conversation with the broker: a blocking connection, opened and closed with it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, cast

from attrs import frozen

from upnext.cli.explain import CommandError
from upnext.cli.render import read_json
from upnext.contracts.keys import Keys
from upnext.model.event import EventsView
from upnext.model.job import JobRecord
from upnext.redis.blocking import BlockingCaller
from upnext.redis.embedded import embedded
from upnext.redis.url import Address
from upnext.settings import Settings
from upnext.store.blocking import BlockingStore
from upnext.store.bounds import Bounds
from upnext.store.cancel import CancelledTree, CancelVerdict
from upnext.store.enlist import enlist_call
from upnext.store.pause import parse_paused
from upnext.store.scripts import library
from upnext.store.survey import parse_view, survey_call

PATIENCE = 1.0
"""Seconds to keep trying a broker that is not there: somebody sits and waits for the answer."""


class _Client(Protocol):
    """What is used of redis-py's blocking client, whose own annotations mix in the async one."""

    def hget(self, name: str, key: str) -> bytes | None: ...
    def get(self, name: bytes | str) -> bytes | None: ...
    def zrange(self, name: str, start: int, end: int) -> list[bytes]: ...
    def zcard(self, name: str) -> int: ...
    def xlen(self, name: str) -> int: ...
    def scan_iter(self, match: str, count: int) -> Iterator[bytes]: ...
    def ping(self) -> bool: ...
    def time(self) -> tuple[int, int]: ...
    def info(self) -> dict[str, Any]: ...


@frozen
class Broker:
    """What the commands ask of one workspace's queue."""

    address: Address
    keys: Keys
    bounds: Bounds
    _client: _Client
    _caller: BlockingCaller
    _store: BlockingStore

    def lookup(self, job_id: str) -> JobRecord | None:
        """What is known of a job; None when there is no record of it."""
        self._check(job_id)
        return self._store.lookup(job_id)

    def unfinished(self, job_id: str) -> list[str]:
        """The ids of the unfinished jobs below a job."""
        self._check(job_id)
        return self._store.living(job_id)

    def cancel(self, job_id: str, reason: str) -> CancelVerdict:
        """Cancel one job."""
        self._check(job_id)
        return self._store.cancel(job_id, reason)

    def cancel_tree(self, job_id: str, reason: str) -> CancelledTree:
        """Cancel a job and every unfinished job below it."""
        self._check(job_id)
        (cancelled,) = self._store.cancel_trees((job_id,), reason)
        return cancelled

    def functions(self) -> list[str]:
        """The names of all functions that a worker ever declared."""
        return self._store.functions()

    def pause(self, functions: list[str] | None, until: int | None, delay: int | None) -> int:
        """Pause functions, or all; Unix milliseconds when it ends by itself, or 0."""
        return self._store.pause(functions, until, delay)

    def resume(self, functions: list[str] | None) -> int:
        """Resume functions, or all; how many were paused."""
        return self._store.resume(functions)

    def paused(self) -> dict[str, int]:
        """The functions that are paused, and until when; 0: until they are resumed."""
        names = self.functions()
        told = [self._client.hget(self.keys.gate(name), "paused") for name in names]
        return parse_paused(names, round(self.now() * 1000), told)

    def waiting(self, function: str) -> int:
        """How many jobs of a function are due or will be; a job that was lost with its worker
        counts, too."""
        keys, client = self.keys, self._client
        count = client.zcard(keys.scheduled(function)) + int(client.get(keys.parked(function)) or 0)
        for lane in client.zrange(keys.lanes(function), 0, -1):
            count += client.xlen(keys.lane(function, lane.decode()))
        return count

    def is_served(self, function: str) -> bool:
        """Whether a worker that is alive runs this function."""
        return any(function in functions_of(record) for record in self.heartbeats())

    def events(self, most: int) -> EventsView:
        """What is held of events; at most so many of those that nobody handled."""
        call = survey_call(self.keys, self.bounds, most)
        (reply,) = self._caller.call_many([call], idempotent=True)
        return parse_view(reply)

    def forget_handler(self, function: str) -> bool:
        """Take a handler off the roll; whether it was on it."""
        call = enlist_call(self.keys, self.bounds, {}, off=(function,))
        (count,) = self._caller.call_many([call], idempotent=True)
        return count > 0

    def store(self) -> BlockingStore:
        """The verbs of the queue, over the same connections."""
        return self._store

    def round_trip(self) -> float:
        """Ping the server; the answer is in milliseconds."""
        self._client.ping()  # connects first
        start = time.perf_counter()
        self._client.ping()
        return (time.perf_counter() - start) * 1000

    def now(self) -> float:
        """The server's clock, Unix seconds."""
        seconds, microseconds = self._client.time()
        return seconds + microseconds / 1_000_000

    def server(self) -> dict[str, Any]:
        """What the server says of itself (`INFO`)."""
        return self._client.info()

    def heartbeats(self) -> list[dict[str, Any]]:
        """The records of the workers that are alive, by name."""
        found: list[dict[str, Any]] = []
        for key in self._client.scan_iter(match=self.keys.worker("*"), count=1000):
            # It may have expired since.
            record = read_json(self._client.get(key) or b"")
            if isinstance(record, dict):
                found.append(cast("dict[str, Any]", record))
        return sorted(found, key=lambda one: (str(one.get("worker_name")), str(one.get("id"))))

    def _check(self, job_id: str) -> None:
        try:
            self.keys.job(job_id)
        except ValueError as error:
            raise CommandError(f"{error}.") from None


def functions_of(heartbeat: dict[str, Any]) -> list[str]:
    """What a worker runs, by its record."""
    found = heartbeat.get("functions")
    return [str(name) for name in cast("list[Any]", found)] if isinstance(found, list) else []


@contextmanager
def open_broker(redis_url: str | None) -> Generator[Broker]:
    """Talk to the broker that a command means.

    Args:
        redis_url: The command's option; else UPNEXT_REDIS_URL, else the embedded server, which is
            started for the length of the block if it does not run.

    Raises:
        CommandError: The URL or the workspace is malformed.
    """
    settings, keys = read_settings()
    bounds = Bounds(
        record_ttl=settings.queue.job_ttl_seconds * 1000,
        events_kept=settings.events_kept,
        most_waiting=settings.queue.stream_maxlen,
        dead_ttl=settings.queue.dead_letter_ttl_seconds * 1000,
    )
    with ExitStack() as stack:
        url = redis_url or settings.redis_url or stack.enter_context(embedded()).url
        address = parse_address(url)
        client = address.blocking_client(client_name="upnext-cli")
        stack.callback(client.close)
        caller = BlockingCaller(client, library(), patience=PATIENCE)
        store = BlockingStore(client, keys, bounds, patience=PATIENCE)
        yield Broker(address, keys, bounds, cast("_Client", client), caller, store)


def read_settings() -> tuple[Settings, Keys]:
    """Read the environment, and the workspace it names.

    Raises:
        ConfigurationError: A setting cannot be used.
        CommandError: The workspace cannot have this name.
    """
    settings = Settings.load()
    try:
        return settings, Keys(settings.workspace_id)
    except ValueError as error:
        raise CommandError(f"{error}.") from None


def parse_address(url: str) -> Address:
    """Read a Redis URL.

    Raises:
        CommandError: It is malformed.
    """
    try:
        return Address.parse(url)
    except ValueError as error:
        raise CommandError(f"{error}.") from None
