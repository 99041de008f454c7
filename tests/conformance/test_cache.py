"""What cached results promise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.subject import (
    Subject,
    claim,
    claim_one,
    new,
    outcome,
    record_of,
    submit,
)
from upnext.model.dedupe import Caching
from upnext.model.job import Enqueued, NewJob
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store


def cached(place: str = "a:b é", ttl: int = 5_000, *, fresh: bool = False, **fields: Any) -> NewJob:
    return new(caching=Caching(place, ttl, fresh), **fields)


async def run(store: Store, job: NewJob, result: bytes, ending: Ending = Ending.COMPLETE) -> None:
    await submit(store, job)
    claimed = await claim_one(store)
    assert claimed.id == job.id
    await store.settle("w1", [outcome(claimed, ending, result=result)])


async def test_a_cached_result_completes_a_job_without_a_run(
    store: Store, subject: Subject
) -> None:
    await run(store, cached(), b'{"n":9007199254740993}')
    hit = cached(arguments=b"[1]", priority=3, source=b"{}")
    await submit(store, hit)
    assert await claim(store) == []
    record = await record_of(store, hit.id)
    assert (record.status, record.reason) == (JobStatus.COMPLETE, "cached")
    assert (record.result, record.arguments) == (b'{"n":9007199254740993}', b"[1]")
    assert (record.attempt, record.started_at) == (0, None)
    assert record.finished_at == record.created_at
    assert subject.lives_for(hit.id) is not None
    accepted, over = subject.events()[-2:]
    assert (accepted["type"], over["type"]) == (b"queued", b"complete")
    assert (accepted["name"], accepted["arguments"]) == (b"work", b"[1]")
    assert (over["result"], over["reason"]) == (record.result, b"cached")


async def test_who_waits_is_told_in_the_same_call(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe("ch", heard.append, lambda: None).ready()
    await run(store, cached(), b"7")
    hit = cached(waiter="ch")
    await submit(store, hit)
    await store.now()
    [notice] = [json.loads(one) for one in heard]
    assert (notice["id"], notice["status"], notice["result"]) == (hit.id, "complete", 7)


async def test_a_result_is_kept_for_its_time(store: Store, subject: Subject) -> None:
    await run(store, cached(), b"1")
    subject.advance(4_900)
    hit = cached()
    await submit(store, hit)
    subject.advance(200)
    late = cached()
    await submit(store, late)
    assert (await claim_one(store)).id == late.id


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.CANCELLED, Ending.EXPIRED])
async def test_what_is_not_complete_is_not_cached(store: Store, ending: Ending) -> None:
    await run(store, cached(), b"", ending)
    await run(store, cached(), b"2")


async def test_submits_that_come_together_share_one_run(store: Store) -> None:
    first = cached()
    answers = await store.enqueue([first, cached()])
    assert answers == [Enqueued(first.id, True), Enqueued(first.id, False)]
    job = await claim_one(store)
    assert await store.enqueue([cached()]) == [Enqueued(first.id, False)]
    await store.settle("w1", [outcome(job, Ending.RETRY, delay=1_000)])
    assert await store.enqueue([cached()]) == [Enqueued(first.id, False)]


async def test_a_job_for_later_keeps_nobody_waiting(store: Store, subject: Subject) -> None:
    await submit(store, cached(delay=60_000))
    await run(store, cached(), b"1")
    hit = cached(delay=60_000)
    await submit(store, hit)
    assert (await record_of(store, hit.id)).status is JobStatus.COMPLETE
    subject.advance(61_000)
    await store.stage(["work"])
    assert len(await claim(store, count=9)) == 1, "what was there before the result still runs"


async def test_a_fresh_run_replaces_the_result(store: Store) -> None:
    await run(store, cached(), b"1")
    await run(store, cached(fresh=True), b"2")
    hit = cached()
    await submit(store, hit)
    assert (await record_of(store, hit.id)).result == b"2"


async def test_a_fresh_run_joins_none_that_began_before_it(store: Store) -> None:
    old = cached()
    await submit(store, old)
    before = await claim_one(store)
    young = cached(fresh=True)
    await submit(store, young)
    assert await store.enqueue([cached()]) == [Enqueued(young.id, False)]
    await store.settle("w1", [outcome(before, result=b"1")])
    assert (await claim_one(store)).id == young.id


async def test_keys_and_functions_are_apart(store: Store) -> None:
    await run(store, cached("a"), b"1")
    await submit(store, cached("b"))
    other = new("other", caching=Caching("a", 5_000))
    await submit(store, other)
    assert (await record_of(store, other.id)).status is JobStatus.QUEUED


async def test_a_hit_takes_no_key_and_is_let_in_when_the_queue_is_full(subject: Subject) -> None:
    store = subject.rebind(most_waiting=1)
    await run(store, cached(), b"1")
    await submit(store, new())
    await submit(store, cached(key="k"))
    await submit(store, cached(key="k"))


async def test_a_hit_that_is_sent_again_changes_nothing(store: Store, subject: Subject) -> None:
    await run(store, cached(), b"1")
    hit = cached()
    await submit(store, hit)
    count = len(subject.events())
    await submit(store, hit)
    assert len(subject.events()) == count
