"""The verbs of the queue, bound to one link."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from upnext.contracts.keys import Keys
from upnext.errors import JobRefusedError
from upnext.model.job import (
    Claimed,
    Enqueued,
    Held,
    JobRecord,
    NewJob,
    Picked,
    Rescued,
    Revoked,
    Staged,
)
from upnext.model.lineage import Member
from upnext.model.outcome import Outcome, Settled
from upnext.model.report import Heard, Reports, Written
from upnext.model.schedule import Fired, Firing, Ordered, ScheduleOrder, Schedules
from upnext.redis.library import Caller, raise_first
from upnext.redis.link import Link, Subscription
from upnext.redis.waiter import Waiter
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
    unwind_steps,
)
from upnext.store.claim import claim_call, parse_claimed
from upnext.store.cron import cron_call, parse_fired
from upnext.store.enqueue import enqueue_calls, parse_enqueued
from upnext.store.event_verbs import EventVerbs
from upnext.store.follow import follow_call, parse_heard
from upnext.store.letter_verbs import LetterVerbs
from upnext.store.limits import limits_call
from upnext.store.living import living_steps
from upnext.store.lookup import parse_record
from upnext.store.pause import pause_call
from upnext.store.pause_verbs import PauseVerbs
from upnext.store.permit import permit_call
from upnext.store.pick import parse_picked, pick_call
from upnext.store.recover import recover_call
from upnext.store.renew import parse_revoked, renew_calls
from upnext.store.report import parse_written, report_calls
from upnext.store.rescue import parse_rescued, rescue_call
from upnext.store.retire import retire_call, retire_events_call
from upnext.store.schedule import (
    parse_ordered,
    parse_schedules,
    schedule_call,
    schedules_call,
)
from upnext.store.scripts import library
from upnext.store.settle import parse_settled, settle_calls
from upnext.store.stage import parse_staged, stage_call
from upnext.store.watch import watch_call

R = TypeVar("R")


class Store(EventVerbs, LetterVerbs, PauseVerbs):
    """One workspace's queue on Redis or Valkey.

    Every method is one write to the server and may be called by many tasks at once. A lost
    connection is waited out for the link's patience, then raised as
    `redis.exceptions.ConnectionError`; methods whose effect is the same when they run twice are
    sent again by themselves.
    """

    def __init__(self, link: Link, keys: Keys, bounds: Bounds) -> None:
        self._link = link
        self._call = Caller(link, library())
        self.keys = keys
        self.bounds = bounds
        self._families: set[str] = set()
        """Functions whose families are known to exist."""

    @property
    def busy(self) -> bool:
        """Whether the server owes answers."""
        return self._link.busy

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued | JobRefusedError]:
        """Accept new jobs; one answer each, in order. Sent again safely: ids make it so."""
        for job in jobs:
            if job.parent_id and job.function not in self._families:
                # Before the job is there: whoever cancels its tree must know where to look.
                await self._link.execute("SADD", self.keys.families, job.function, idempotent=True)
                self._families.add(job.function)
        calls = enqueue_calls(self.keys, self.bounds, jobs)
        # A worker that waits for this one job has more to do than whoever submits it.
        alone = len(jobs) == 1 and not self._link.busy
        replies = await self._call.call_many(calls, idempotent=True, others_first=alone)
        return parse_enqueued(jobs, replies)

    async def claim(
        self, worker: str, wants: Sequence[tuple[str, int]], *, prompt: bool = False
    ) -> Claimed:
        """Take up to so many waiting jobs of each function.

        Args:
            worker: Whose they become.
            wants: Functions, and how many jobs of each.
            prompt: Ask at once, in a write of its own if need be.

        Never sent again by itself: after a `ConnectionError`, `recover` tells what was claimed.
        """
        calls = [claim_call(self.keys, self.bounds, worker, name, n) for name, n in wants]
        replies = await self._call.call_many(calls, prompt=prompt)
        return parse_claimed([name for name, _ in wants], replies)

    async def pick(self, worker: str, function: str, count: int, ids: Sequence[str]) -> Picked:
        """Claim up to `count` of certain jobs of a function, wherever they stand in line.

        What of them the worker has already is in the answer, too: so it is safe to send again.
        """
        call = pick_call(self.keys, self.bounds, worker, function, count, ids)
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_picked(function, reply)

    async def recover(self, worker: str, functions: Sequence[str], known: Iterable[str]) -> Claimed:
        """The jobs this worker owns besides those it knows of."""
        ids = list(known)
        calls = [recover_call(self.keys, worker, name, ids) for name in functions]
        replies = await self._call.call_many(calls, idempotent=True)
        return parse_claimed(functions, replies)

    async def renew(self, worker: str, held: Iterable[Held]) -> list[Revoked]:
        """Keep the leases of held jobs; the answer names those not to be run on."""
        calls = renew_calls(self.keys, worker, held)
        replies = await self._call.call_many(calls, idempotent=True)
        return [revoked for reply in replies for revoked in parse_revoked(reply)]

    async def settle(self, worker: str, outcomes: Sequence[Outcome]) -> list[Settled | str]:
        """Write down how attempts ended; one answer each, in order. Safe to send again."""
        batches = settle_calls(self.keys, self.bounds, worker, outcomes)
        replies = await self._call.call_many([call for call, _ in batches], idempotent=True)
        answers: list[Settled | str] = [Settled.STALE] * len(outcomes)
        for (_, positions), reply in zip(batches, replies, strict=True):
            for position, answer in zip(positions, parse_settled(reply), strict=True):
                answers[position] = answer
        return answers

    async def report(self, worker: str, batch: Sequence[Reports]) -> list[Written | str]:
        """Write down what jobs say; one answer for each, in order. Safe to send again."""
        calls = report_calls(self.keys, self.bounds, worker, batch)
        replies = await self._call.call_many([call for call, _ in calls], idempotent=True)
        answers: list[Written | str] = [Written.STALE] * len(batch)
        for (_, positions), reply in zip(calls, replies, strict=True):
            for position, answer in zip(positions, parse_written(reply), strict=True):
                answers[position] = answer
        return answers

    async def follow(self, job_id: str, what: str, after: str, most: int) -> Heard | None:
        """Read up to `most` entries of a job's `log` or `out`put (or '': neither) after one of
        them, and have its channel told from now on; None when there is no such job."""
        call = follow_call(self.keys, self.bounds, job_id, what, after, most)
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_heard(reply)

    async def stage(self, functions: Sequence[str]) -> list[Staged]:
        """Move due jobs of each function to where workers claim them."""
        calls = [stage_call(self.keys, self.bounds, name) for name in functions]
        replies = await self._call.call_many(calls, idempotent=True)
        return [parse_staged(name, reply) for name, reply in zip(functions, replies, strict=True)]

    async def fire(self, firings: Sequence[Firing]) -> list[Fired]:
        """Make the due jobs of schedules, each once whoever races; one answer each, in order."""
        calls = [cron_call(self.keys, self.bounds, firing) for firing in firings]
        replies = await self._call.call_many(calls, idempotent=True)
        return [parse_fired(one, reply) for one, reply in zip(firings, replies, strict=True)]

    async def schedules(self, functions: Sequence[str]) -> Schedules:
        """All schedules of each function."""
        calls = [schedules_call(self.keys, name) for name in functions]
        return parse_schedules(functions, await self._call.call_many(calls, idempotent=True))

    async def order(self, order: ScheduleOrder) -> Ordered:
        """Change one schedule."""
        if order.sets:  # listed first: a function without a schedule may well be listed
            name = (self.keys.function(order.function), order.function)
            await self._link.execute("HSET", self.keys.crons, *name, idempotent=True)
        [reply] = await self._call.call_many([schedule_call(self.keys, order)])
        return parse_ordered(order.function, reply)

    async def scheduled_functions(self) -> list[str]:
        """The names of all functions that ever had a schedule in this workspace."""
        reply = await self._link.execute("HVALS", self.keys.crons, idempotent=True)
        return [name.decode() for name in reply]

    async def now(self) -> int:
        """The server's clock, Unix milliseconds."""
        seconds, micros = await self._link.execute("TIME", idempotent=True)
        return int(seconds) * 1000 + int(micros) // 1000

    async def rescue(
        self,
        worker: str,
        functions: Sequence[str],
        lease: int,
        as_of: int,
        most: Mapping[str, int] | None = None,
    ) -> Rescued:
        """Requeue jobs that other workers did not renew for `lease` milliseconds.

        `as_of` is the server's time as the caller reckons it (from `now`, just before). When the
        request arrives much later than that, nothing is taken: see `Rescued.held_back`.
        `most` says how often a job may be lost, for functions that differ from the bounds.
        """
        limits = most or {}
        calls = [
            rescue_call(self.keys, self.bounds, worker, name, lease, as_of, limits.get(name))
            for name in functions
        ]
        # Never sent again by itself: a second copy would be as late as the first.
        found = [parse_rescued(reply) for reply in await self._call.call_many(calls)]
        return Rescued(
            [job for one in found for job in one.requeued],
            [job for one in found for job in one.buried],
            any(one.held_back for one in found),
        )

    async def cancel(self, job_id: str, reason: str) -> CancelVerdict:
        """Cancel one job: at once when it waits, through its worker when it runs."""
        call = cancel_call(self.keys, self.bounds, job_id, reason)
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_cancelled(reply)

    async def cancel_trees(self, job_ids: Sequence[str], reason: str) -> list[CancelledTree]:
        """Cancel jobs and every unfinished job below them, and refuse new ones there.

        The jobs themselves first: they then submit no more. One that finished already is no
        reason to stop.

        Raises:
            ValueError: not a job id.
        """
        calls = heads_calls(self.keys, self.bounds, job_ids, reason)
        heads = parse_heads(job_ids, await self._call.call_many(calls, idempotent=True))
        names = await self._with_families() if any(head.ran for head in heads) else []
        return await self._take(below_steps(self.keys, self.bounds, heads, names, reason))

    async def unwind(self, member: Member, reason: str, channel: str) -> list[str]:
        """The jobs below a cancelled one that run on; `channel` is told when they end.

        They are cancelled first, as far as they are not yet. Empty when the job was cancelled
        without those below it.
        """
        names = await self._with_families()
        steps = unwind_steps(self.keys, self.bounds, member, names, reason, channel)
        return await self._take(steps)

    async def living(self, job_id: str) -> list[str]:
        """The ids of the unfinished jobs below a job.

        Raises:
            ValueError: not a job id.
        """
        key = self.keys.job(job_id)
        root = await self._link.execute("HGET", key, "root", idempotent=True)
        root_id = job_id if root is None else root.decode()
        names = await self._with_families()
        return await self._take(living_steps(self.keys, job_id, root_id, names))

    async def lookup(self, job_id: str) -> JobRecord | None:
        """What is known of a job; None when there is no record of it."""
        reply = await self._link.execute("HGETALL", self.keys.job(job_id), idempotent=True)
        return parse_record(job_id, reply)

    async def watch(self, job_id: str, channel: str) -> JobRecord | None:
        """Look up a job and, unless it is over, have `channel` told when it is."""
        call = watch_call(self.keys, self.bounds, job_id, channel)
        [reply] = await self._call.call_many([call], idempotent=True)
        return parse_record(job_id, reply)

    async def retire(self, worker: str, functions: Sequence[str]) -> int:
        """Forget a worker that stops and requeue what it still owns; the answer counts the jobs.

        Call it when nothing of the worker runs any more: what it owns then was handed over when
        it no longer listened.
        """
        await self._link.execute("UNLINK", self.keys.worker(worker), idempotent=True)
        calls = [retire_call(self.keys, self.bounds, worker, name) for name in functions]
        calls.append(retire_events_call(self.keys, self.bounds, worker))
        return sum(await self._call.call_many(calls, idempotent=True))

    async def declare(self, definitions: Mapping[str, bytes]) -> None:
        """Publish what a worker runs: function name -> JSON of its definition."""
        commands: list[tuple[Any, ...]] = []
        for name, definition in definitions.items():
            commands.append(("HSET", self.keys.functions, self.keys.function(name), name))
            commands.append(("SET", self.keys.definition(name), definition))
        commands.append(("GET", self.keys.paused))
        *written, paused = raise_first(await self._link.execute_many(commands, idempotent=True))
        calls = [limits_call(self.keys, name, text) for name, text in definitions.items()]
        if paused is not None:  # all is paused: what is new here, too
            until = int(paused) or None
            new = [name for name, added in zip(definitions, written[::2], strict=True) if added]
            calls += [pause_call(self.keys, self.bounds, name, until) for name in new]
        await self._call.call_many(calls, idempotent=True)

    async def permit(
        self, group: str, worker: str, holding: int, wanting: int, ttl: int, most: int | None
    ) -> int | None:
        """Hold permits of a group for `ttl` milliseconds: see `permit_call`.

        Returns:
            How many the worker has now; None when the group has no limit.
        """
        call = permit_call(self.keys, group, worker, holding, wanting, ttl, most)
        [count] = await self._call.call_many([call], idempotent=True)
        return None if count < 0 else count

    async def beat(self, worker: str, record: bytes, ttl: int) -> bool:
        """Publish a worker's heartbeat record, kept for `ttl` milliseconds.

        Returns:
            Whether the last one was still there; if not, the server may have lost its data.
        """
        before = await self._link.execute(
            "SET", self.keys.worker(worker), record, "PX", ttl, "GET", idempotent=True
        )
        return before is not None

    def subscribe(
        self, channel: str, on_message: Callable[[bytes], None], on_gap: Callable[[], None]
    ) -> Subscription:
        """Hear a channel; the subscription travels with the next command. See `Link.subscribe`."""
        return self._link.subscribe(channel, on_message, on_gap)

    async def attend(self, waiter: Waiter) -> None:
        """Wait until a message handler wakes `waiter`."""
        await self._link.attend(waiter)

    async def _with_families(self) -> list[str]:
        """The functions that may have jobs below other jobs."""
        replies = await self._link.execute_many(
            [("HVALS", self.keys.functions), ("SMEMBERS", self.keys.families)], idempotent=True
        )
        return family_functions(raise_first(replies))

    async def _take(self, steps: Steps[R]) -> R:
        try:
            calls = next(steps)
            while True:
                calls = steps.send(await self._call.call_many(calls, idempotent=True))
        except StopIteration as end:
            return end.value
