"""The verbs of callers for code that does not await, with the same scripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import redis
from redis import exceptions as known

from upnext.contracts.keys import Keys
from upnext.errors import EventRefusedError, JobRefusedError
from upnext.model.event import NewEvent, Sent
from upnext.model.job import Enqueued, Held, JobRecord, Letters, NewJob, Replayed, Revoked
from upnext.model.report import Heard
from upnext.model.schedule import Ordered, ScheduleOrder, Schedules
from upnext.redis.blocking import BlockingCaller
from upnext.redis.retry import Backoff
from upnext.store.bounds import Bounds
from upnext.store.cancel import (
    CancelledTree,
    CancelVerdict,
    Steps,
    below_steps,
    cancel_call,
    family_functions,
    heads_calls,
    parse_cancelled,
    parse_heads,
)
from upnext.store.dead import dead_call, parse_dead
from upnext.store.enqueue import enqueue_calls, parse_enqueued
from upnext.store.follow import follow_call, parse_heard
from upnext.store.living import living_steps
from upnext.store.lookup import parse_record
from upnext.store.pause import pause_all_command, pause_call
from upnext.store.permit import permit_call
from upnext.store.purge import purge_calls
from upnext.store.renew import parse_revoked, renew_calls
from upnext.store.replay import parse_replayed, replay_calls
from upnext.store.resume import resume_call
from upnext.store.schedule import (
    parse_ordered,
    parse_schedules,
    schedule_call,
    schedules_call,
)
from upnext.store.scripts import library
from upnext.store.send import parse_sent, send_calls
from upnext.store.watch import watch_call

R = TypeVar("R")
V = TypeVar("V")

PATIENCE = 10.0
"""Seconds after which a lost connection is not waited for any more."""


class BlockingStore:
    """A workspace's queue on Redis or Valkey, for any thread, with or without an event loop.

    Every call takes a connection of the client's pool for itself, so threads may share a store.

    Args:
        client: redis-py's blocking client; the store closes it.
        keys: The workspace.
        bounds: What the scripts keep.
        patience: Seconds after which a lost connection is not waited for any more.
    """

    def __init__(
        self, client: redis.Redis, keys: Keys, bounds: Bounds, *, patience: float = PATIENCE
    ) -> None:
        self._client = client
        self._patience = patience
        self._call = BlockingCaller(client, library(), patience=patience)
        self.keys = keys
        self.bounds = bounds
        self._families: set[str] = set()
        """Functions whose families are known to exist."""

    def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept new jobs; one answer each, in order. Sent again safely: ids make it so."""
        for job in jobs:
            if job.parent_id and job.function not in self._families:
                _patiently(
                    partial(self._client.sadd, self.keys.families, job.function), self._patience
                )
                self._families.add(job.function)
        calls = enqueue_calls(self.keys, self.bounds, jobs)
        return parse_enqueued(jobs, self._call.call_many(calls, idempotent=True))

    def send(self, events: Sequence[NewEvent]) -> list[Sent | EventRefusedError]:
        """Store events; one answer each, in order. Sent again safely: ids make it so."""
        calls = list(send_calls(self.keys, self.bounds, events))
        replies = self._call.call_many(calls, idempotent=True)
        return [answer for reply in replies for answer in parse_sent(reply)]

    def cancel(self, job_id: str, reason: str) -> CancelVerdict:
        """Cancel one job: at once when it waits, through its worker when it runs."""
        call = cancel_call(self.keys, self.bounds, job_id, reason)
        [reply] = self._call.call_many([call], idempotent=True)
        return parse_cancelled(reply)

    def cancel_trees(self, job_ids: Sequence[str], reason: str) -> list[CancelledTree]:
        """Cancel jobs and every unfinished job below them, and refuse new ones there."""
        calls = heads_calls(self.keys, self.bounds, job_ids, reason)
        heads = parse_heads(job_ids, self._call.call_many(calls, idempotent=True))
        names = self._with_families() if any(head.ran for head in heads) else []
        return self._take(below_steps(self.keys, self.bounds, heads, names, reason))

    def living(self, job_id: str) -> list[str]:
        """The ids of the unfinished jobs below a job."""
        key = self.keys.job(job_id)
        ask = partial(cast("Any", self._client).hget, key, "root")
        root: bytes | None = _patiently(ask, self._patience)
        root_id = job_id if root is None else root.decode()
        return self._take(living_steps(self.keys, job_id, root_id, self._with_families()))

    def lookup(self, job_id: str) -> JobRecord | None:
        """What is known of a job; None when there is no record of it."""
        return self.watch(job_id, "")

    def watch(self, job_id: str, channel: str) -> JobRecord | None:
        """Look up a job and, unless it is over, have `channel` told when it is."""
        call = watch_call(self.keys, self.bounds, job_id, channel)
        [reply] = self._call.call_many([call], idempotent=True)
        return parse_record(job_id, reply)

    def follow(self, job_id: str, what: str, after: str, most: int) -> Heard | None:
        """Read what a job has said, as `Store.follow`."""
        call = follow_call(self.keys, self.bounds, job_id, what, after, most)
        [reply] = self._call.call_many([call], idempotent=True)
        return parse_heard(reply)

    def dead_letters(
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
        [reply] = self._call.call_many([call], idempotent=True)
        return parse_dead(reply)

    def replay(self, function: str, letters: Sequence[tuple[str, str]]) -> list[Replayed]:
        """Make new jobs of dead letters, each given as its id and the new id; safe to repeat."""
        calls = replay_calls(self.keys, self.bounds, function, letters)
        replies = self._call.call_many(calls, idempotent=True)
        return [answer for reply in replies for answer in parse_replayed(reply)]

    def purge(self, function: str, ids: Sequence[str]) -> int:
        """Delete dead letters with their records; the answer counts those there were."""
        return sum(self._call.call_many(purge_calls(self.keys, function, ids), idempotent=True))

    def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]:
        """Keep the leases of held jobs; the answer names those not to be run on."""
        calls = renew_calls(self.keys, worker, held)
        replies = self._call.call_many(calls, idempotent=True)
        return [revoked for reply in replies for revoked in parse_revoked(reply)]

    def functions(self) -> list[str]:
        """The names of all functions that a worker ever declared in this workspace."""
        return [name.decode() for name in cast("Any", self._client).hvals(self.keys.functions)]

    def pause(
        self, functions: Sequence[str] | None, until: int | None = None, delay: int | None = None
    ) -> int:
        """Let no more jobs of functions be claimed: as `Store.pause`."""
        if delay is not None:
            seconds, micros = cast("Any", self._client).time()
            until = seconds * 1000 + micros // 1000 + delay
        if functions is None:
            cast("Any", self._client).execute_command(*pause_all_command(self.keys, until))
            functions = self.functions()
        calls = [pause_call(self.keys, self.bounds, name, until) for name in functions]
        self._call.call_many(calls, idempotent=True)
        return until or 0

    def resume(self, functions: Sequence[str] | None) -> int:
        """Let jobs of paused functions be claimed again: as `Store.resume`."""
        if functions is None:
            self._client.delete(self.keys.paused)
            functions = self.functions()
        calls = [resume_call(self.keys, self.bounds, name) for name in functions]
        return sum(self._call.call_many(calls, idempotent=True))

    def permit(
        self, group: str, worker: str, holding: int, wanting: int, ttl: int, most: int | None
    ) -> int | None:
        """Hold permits of a group: as `Store.permit`."""
        call = permit_call(self.keys, group, worker, holding, wanting, ttl, most)
        [count] = self._call.call_many([call], idempotent=True)
        return None if count < 0 else count

    def withdraw(self, worker: str, functions: Sequence[str]) -> None:
        """Have no more jobs handed over to this worker until it claims again."""
        channel = self.keys.worker_channel(worker)
        with cast("Any", self._client).pipeline(transaction=False) as commands:
            for name in functions:
                commands.zrem(self.keys.hungry(name), channel)
                commands.zrem(self.keys.barred(name), channel)
            commands.execute()

    def now(self) -> int:
        """The server's clock, Unix milliseconds."""
        seconds, micros = cast("Any", self._client).time()
        return int(seconds) * 1000 + int(micros) // 1000

    def schedules(self, functions: Sequence[str]) -> Schedules:
        """All schedules of each function."""
        calls = [schedules_call(self.keys, name) for name in functions]
        return parse_schedules(functions, self._call.call_many(calls, idempotent=True))

    def order(self, order: ScheduleOrder) -> Ordered:
        """Change one schedule."""
        if order.sets:
            name = (self.keys.function(order.function), order.function)
            cast("Any", self._client).hset(self.keys.crons, *name)
        [reply] = self._call.call_many([schedule_call(self.keys, order)])
        return parse_ordered(order.function, reply)

    def scheduled_functions(self) -> list[str]:
        """The names of all functions that ever had a schedule in this workspace."""
        names: list[bytes] = cast("Any", self._client).hvals(self.keys.crons)
        return [name.decode() for name in names]

    @contextmanager
    def listen(self, channel: str) -> Generator[Listener]:
        """Hear a channel on a connection of its own; entered once the server confirmed it."""
        listener = Listener(self._client, channel)
        try:
            yield listener
        finally:
            listener.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _with_families(self) -> list[str]:
        """The functions that may have jobs below other jobs."""
        keys, ask = self.keys, cast("Any", self._client)
        declared = _patiently(partial(ask.hvals, keys.functions), self._patience)
        submitted = _patiently(partial(ask.smembers, keys.families), self._patience)
        return family_functions([declared, submitted])

    def _take(self, steps: Steps[R]) -> R:
        try:
            calls = next(steps)
            while True:
                calls = steps.send(self._call.call_many(calls, idempotent=True))
        except StopIteration as end:
            return end.value


class _PubSub(Protocol):
    """What is used of redis-py's subscriber, which has no annotations of its own."""

    def subscribe(self, *channels: str) -> None: ...
    def get_message(self, *, timeout: float) -> dict[str, Any] | None: ...
    def close(self) -> None: ...


class Listener:
    """One subscription on its own connection. Made by `BlockingStore.listen`."""

    def __init__(self, client: redis.Redis, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._pubsub: _PubSub | None = None
        self._open()

    def hear(self, seconds: float) -> bytes | None:
        """The next message, waited for at most so long.

        Returns:
            None when none came, or some may have been missed over a lost connection: whoever
            listens looks for himself what is new.

        Raises:
            redis.exceptions.RedisError: the server cannot be reached.
        """
        give_up_at = time.monotonic() + seconds
        while (left := give_up_at - time.monotonic()) > 0:
            try:
                message = self._subscriber.get_message(timeout=left)
            except (known.ConnectionError, known.TimeoutError):
                self.close()
                self._open()
                return None
            if message is not None and message["type"] == "message":
                return message["data"]
        return None

    def close(self) -> None:
        """Give the connection up."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()

    @property
    def _subscriber(self) -> _PubSub:
        if self._pubsub is None:
            raise known.ConnectionError("the subscription was closed")
        return self._pubsub

    def _open(self) -> None:
        self._pubsub = _patiently(self._subscribe)

    def _subscribe(self) -> _PubSub:
        pubsub = cast("_PubSub", cast("Any", self._client).pubsub())
        try:
            pubsub.subscribe(self._channel)
            if pubsub.get_message(timeout=PATIENCE) is None:
                raise known.TimeoutError("the server did not confirm the subscription")
        except BaseException:
            pubsub.close()
            raise
        return pubsub


def _patiently(attempt: Callable[[], V], patience: float = PATIENCE) -> V:
    """Do what may be done twice, again and again while the server cannot be reached."""
    give_up_at = time.monotonic() + patience
    backoff, failures = Backoff(), 0
    while True:
        try:
            return attempt()
        except (known.ConnectionError, known.TimeoutError):
            failures += 1
            delay = backoff.delay(failures)
            if time.monotonic() + delay > give_up_at:
                raise
            time.sleep(delay)
