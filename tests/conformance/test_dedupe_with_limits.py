"""Deduplication and dead letters beside limits: neither makes a job forget the other."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.subject import Subject, claim, claim_one, new, outcome, rescue, submit
from upnext.model.dedupe import Dedupe, DedupeKind
from upnext.model.job import Enqueued, NewJob
from upnext.model.limits import limit_keys
from upnext.store.store import Store


def of(key: str, **fields: Any) -> NewJob:
    """A job that counts against the number of one key."""
    return new(limit_keys=limit_keys(key, ""), **fields)


async def limited_to_one_a_key(store: Store) -> None:
    definition = {"max_concurrency": 1, "concurrency_key": "{x}"}
    await store.declare({"work": json.dumps(definition).encode()})


async def test_the_newest_limit_keys_count_with_the_newest_arguments(
    store: Store, subject: Subject
) -> None:
    await limited_to_one_a_key(store)
    await submit(store, of("b"))
    await claim_one(store)
    quiet = Dedupe(DedupeKind.DEBOUNCE, "", 1_000)
    first = of("a", dedupe=quiet)
    await submit(store, first)
    assert await store.enqueue([of("b", dedupe=quiet)]) == [Enqueued(first.id, False)]
    subject.advance(1_100)
    await store.stage(["work"])
    assert await claim(store, "w2") == [], "a job of b runs"


async def test_one_that_waited_for_another_one_keeps_to_its_limit_keys(store: Store) -> None:
    await limited_to_one_a_key(store)
    once_more = Dedupe(DedupeKind.RERUN, "k")
    first, second = (of(key, dedupe=once_more) for key in "12")
    await submit(store, first)
    running = await claim_one(store)
    other = of("2")
    await submit(store, second, other)
    [elsewhere] = await claim(store, "w2", 5)
    assert elsewhere.id == other.id
    await store.settle("w1", [outcome(running)])
    assert await claim(store, "w1", 5) == [], "a job with its key runs"
    await store.settle("w2", [outcome(elsewhere)])
    assert (await claim_one(store)).id == second.id


async def test_lost_jobs_with_limit_keys_are_kept_apart_too(store: Store, subject: Subject) -> None:
    await limited_to_one_a_key(store)
    jobs = [of(key) for key in "12"]
    await submit(store, *jobs)
    for worker in ("w1", "w2"):
        assert len(await claim(store, worker, 5)) == 2
        subject.advance(3_000)
        assert len((await rescue(store, 3_000)).requeued) == 2
    assert len(await claim(store, "w3", 5)) == 1
    subject.advance(1_100)
    await store.stage(["work"])
    assert len(await claim(store, "w4", 5)) == 1
