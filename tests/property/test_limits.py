"""Limits on a real server do what their model does, are never exceeded, and keep nothing back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import invariant, multiple, rule

from tests.property.books import escaped
from tests.property.machine import run_machine
from tests.property.rig import FUNCTIONS, KEYS, Rig
from tests.property.test_queue import QueueMachine, functions
from upnext.model.identity import function_tag
from upnext.model.job import JobRecord, NewJob
from upnext.model.limits import Limits, Rate, limit_keys, split_keys
from upnext.model.status import JobStatus

counts = st.sampled_from((None, None, 1, 2, 3))
rates = st.sampled_from((None, None, (1, 2.0), (3, 1.0), (2, 60.0)))
tenants = st.sampled_from(("", "a", "a", "b", "ü:1"))


class LimitMachine(QueueMachine):
    """The queue's machine, whose functions have limits that come and go."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig)
        self.limits = dict.fromkeys(FUNCTIONS, Limits())

    @rule(
        function=functions,
        number=counts,
        number_key=st.sampled_from((None, "{t}")),
        rate=rates,
        rate_key=st.sampled_from((None, "{t}")),
    )
    def declare(
        self,
        function: str,
        number: int | None,
        number_key: str | None,
        rate: tuple[int, float] | None,
        rate_key: str | None,
    ) -> None:
        definition = {
            "max_concurrency": number,
            "concurrency_key": number_key if number else None,
            "rate_limit": None if rate is None else {"count": rate[0], "seconds": rate[1]},
            "rate_limit_key": rate_key if rate else None,
        }
        self.limits[function] = Limits.of(definition)
        self.rig.both(lambda side: side.declare({function: orjson.dumps(definition)}))

    @rule(
        target=QueueMachine.jobs,
        function=functions,
        concurrency=tenants,
        rate=tenants,
        priority=st.sampled_from((0, 0, 5, -5)),
        count=st.integers(1, 4),
    )
    def enqueue_keyed(
        self, function: str, concurrency: str, rate: str, priority: int, count: int
    ) -> Any:
        made = [
            NewJob(
                id=f"{function_tag(function)}-{len(self.news) + 1 + n:032x}",
                function=function,
                arguments=b"[]",
                priority=priority,
                limit_keys=limit_keys(concurrency, rate),
            )
            for n in range(count)
        ]
        self.news |= {new.id: new for new in made}
        answers = self.rig.both(lambda side: side.enqueue(made))
        accepted = [
            new.id
            for new, answer in zip(made, answers, strict=True)
            if getattr(answer, "created", False)
        ]
        self.records |= dict.fromkeys(accepted)
        return multiple(*accepted)

    @rule(function=functions, delay=st.sampled_from((None, 1_000, 60_000)))
    def pause(self, function: str, delay: int | None) -> None:
        until = None if delay is None else self.rig.server.now + delay
        self.rig.both(lambda side: side.pause([function], until))

    @rule(function=functions)
    def resume(self, function: str) -> None:
        self.rig.both(lambda side: side.resume([function]))

    @invariant()
    def nothing_that_may_run_is_kept_back(self) -> None:
        """The ring has exactly the keys with waiting jobs that nothing holds back."""
        for name in FUNCTIONS:
            queue = self.rig.model.queues.get(KEYS.function(name))
            if queue is None:
                continue
            ring, turns = queue.ring, queue.ring.turns
            held = [keys for stuck in ring.stuck.values() for keys in stuck]
            assert sorted([*turns, *ring.timed, *held]) == sorted(ring.waiting)
            for key in ring.stuck:
                most = ring.limits.most_per_key
                full = most is not None and len(ring.busy.get(key, ())) >= most
                assert full or any(split_keys(keys)[0] == key for keys in turns)

    def _check_books(self, records: list[JobRecord]) -> set[str]:
        client, dead = self.rig.client, set[str]()
        for name in FUNCTIONS:
            prefix = KEYS.function(name)
            mine = [record for record in records if record.function == name]
            running = {r.id for r in mine if r.status is JobStatus.RUNNING}
            entries, claimed = self.rig.in_lanes(name)
            assert claimed == len(running)
            queued = {r.id for r in mine if r.status is JobStatus.QUEUED}
            keyed = {i for i in queued if self.news[i].limit_keys}
            assert entries == len(running) + len(queued - keyed)
            waiting = {
                job.decode()
                for key in client.scan_iter(match=escaped(prefix) + "wait:*", count=1000)
                for job in client.zrange(key, 0, -1)
            }
            assert waiting == keyed
            assert int(client.get(prefix + "parked") or 0) == len(keyed)
            queue = self.rig.model.queues.get(prefix)
            turns = [keys.decode() for keys in client.zrange(prefix + "ring", 0, -1)]
            assert turns == (queue.ring.turns if queue else [])
            busy = {
                key.decode().removeprefix(prefix + "busy:"): {
                    member.decode() for member in client.smembers(key)
                }
                for key in client.scan_iter(match=escaped(prefix) + "busy:*", count=1000)
            }
            assert busy == (queue.ring.busy if queue else {})
            assert set().union(*busy.values()) <= running
            dead |= {letter.decode() for letter in client.zrange(prefix + "dead", 0, -1)}
        return dead

    def _drain(self) -> None:
        """Without limits everything ends, and nothing but permanent keys is left."""
        for name in FUNCTIONS:
            self.rig.both(lambda side, name=name: side.declare({name: b"{}"}))
        self.rig.both(lambda side: side.resume(FUNCTIONS))
        super()._drain()


@pytest.mark.hard_limit(600)
def test_limits_do_what_their_model_does() -> None:
    run_machine(LimitMachine)


moments = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 8)), min_size=1, max_size=60)


@given(count=st.integers(1, 20), window=st.integers(1, 10_000), asked=moments)
def test_in_no_stretch_of_time_more_start_than_the_bucket_allows(
    count: int, window: int, asked: list[tuple[int, int]]
) -> None:
    rate, bucket, now = Rate(count, window), None, 0
    starts: list[int] = []
    for passed, wanted in asked:
        now += passed
        level = rate.level(bucket, now)
        granted = min(wanted, rate.starts(level))
        if granted:
            bucket = rate.after(level, granted, now)
            starts += [now] * granted
        elif (wait := rate.wait(level)) > 1:
            assert rate.starts(rate.level(bucket, now + wait - 1)) == 0
            assert rate.starts(rate.level(bucket, now + wait)) >= 1
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            # count at once, and one more for every full window / count.
            most = count + (starts[last] - starts[first]) * count // window
            assert last - first + 1 <= most


@given(count=st.integers(1, 50), window=st.integers(1, 20_000), seconds=st.integers(1, 60))
def test_whoever_asks_when_told_gets_all_that_the_rate_allows(
    count: int, window: int, seconds: int
) -> None:
    rate, bucket, now, started = Rate(count, window), None, 0, 0
    until = min(seconds * 1000, 300 * window)
    while now <= until and started < 5_000:
        level = rate.level(bucket, now)
        granted = rate.starts(level)
        bucket = rate.after(level, granted, now)
        started += granted
        now += max(1, rate.wait(bucket.level))
    assert started >= min(5_000, count + (until - window) * count // window)


@given(st.text(max_size=200), st.text(max_size=200))
def test_limit_keys_are_read_back(concurrency: str, rate: str) -> None:
    first, second = split_keys(limit_keys(concurrency, rate) or "0:")
    assert (first, second) == (concurrency, rate) or len((concurrency + rate).encode()) > 128
    assert len(first.encode()) <= 128
    assert len(second.encode()) <= 128
