"""Limits hold in the workspace, whoever claims; what waits keeps its order and is told in time."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.conformance.subject import (
    KEYS,
    Subject,
    claim,
    claim_one,
    new,
    outcome,
    record_of,
    rescue,
    submit,
)
from upnext.model.job import Job
from upnext.model.limits import limit_keys
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store

PREFIX = KEYS.function("work")


async def limit(store: Store, **definition: Any) -> None:
    """Declare the function `work` with these options."""
    rate = definition.pop("rate", None)
    if rate is not None:
        definition["rate_limit"] = {"count": rate[0], "seconds": rate[1]}
    await store.declare({"work": orjson.dumps(definition)})


def of(key: str, **fields: Any) -> Any:
    """A job of one tenant."""
    return new(limit_keys=limit_keys(key, key), **fields)


def ids(jobs: list[Any]) -> list[str]:
    return [job.id for job in jobs]


async def ear(store: Store, worker: str) -> list[bytes]:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel(worker), heard.append, lambda: None).ready()
    return heard


async def finish(store: Store, *jobs: Job, worker: str = "w1", **fields: Any) -> None:
    await store.settle(worker, [outcome(job, **fields) for job in jobs])


async def test_no_more_run_at_once_than_max_concurrency(store: Store) -> None:
    await limit(store, max_concurrency=2)
    jobs = [new() for _ in range(4)]
    await submit(store, *jobs)
    first = await claim(store, "w1", 10)
    assert ids(first) == ids(jobs[:2])
    assert await claim(store, "w2", 10) == []
    await finish(store, first[0])
    assert ids(await claim(store, "w2", 10)) == [jobs[2].id]
    assert await claim(store, "w1", 10) == []


@pytest.mark.parametrize("ending", list(Ending))
async def test_however_an_attempt_ends_its_place_is_free(store: Store, ending: Ending) -> None:
    await limit(store, max_concurrency=1)
    await submit(store, new(), new())
    await finish(store, await claim_one(store), ending=ending, delay=1_000)
    assert len(await claim(store, "w2", 10)) == 1


async def test_a_lost_workers_places_come_back_with_its_jobs(
    store: Store, subject: Subject
) -> None:
    await limit(store, max_concurrency=2)
    await submit(store, *[new() for _ in range(3)])
    lost = await claim(store, "w1", 2)
    subject.advance(1_000)
    assert sorted((await rescue(store, 1_000)).requeued) == sorted(ids(lost))
    assert ids(await claim(store, "w2", 10)) == ids(lost)


async def test_a_stopping_workers_places_come_back(store: Store) -> None:
    await limit(store, max_concurrency=1)
    await submit(store, new())
    await claim_one(store)
    await store.retire("w1", ["work"])
    assert len(await claim(store, "w2")) == 1


async def test_a_job_at_the_limit_is_not_handed_over_and_its_worker_is_told_when_it_may_run(
    store: Store,
) -> None:
    await limit(store, max_concurrency=1)
    heard = await ear(store, "w2")
    await submit(store, new())
    running = await claim_one(store)
    assert await claim(store, "w2") == []
    await submit(store, new())
    await submit(store, new())
    await store.now()
    assert heard == []  # it waits for the limit: jobs that may not run are no news to it
    await finish(store, running)
    await store.now()
    assert heard == [f"work {PREFIX}".encode()]
    assert len(await claim(store, "w2", 5)) == 1


async def test_a_limited_job_submitted_to_a_hungry_worker_is_news_and_not_pushed(
    store: Store,
) -> None:
    await limit(store, max_concurrency=1)
    heard = await ear(store, "w1")
    assert await claim(store, "w1") == []
    await submit(store, new())
    await store.now()
    assert heard == [f"work {PREFIX}".encode()]


async def test_a_rate_starts_full_and_refills_evenly(store: Store, subject: Subject) -> None:
    await limit(store, rate=(5, 10.0))
    jobs = [new() for _ in range(9)]
    await submit(store, *jobs)
    assert ids(await claim(store, "w1", 20)) == ids(jobs[:5])
    for moment in range(4):
        subject.advance(1_900)
        assert await claim(store, "w1", 20) == []
        subject.advance(100)
        assert ids(await claim(store, "w1", 20)) == [jobs[5 + moment].id]


async def test_the_answer_says_when_to_ask_again(store: Store, subject: Subject) -> None:
    await limit(store, rate=(5, 10.0))
    await submit(store, *[new() for _ in range(7)])
    claimed = await store.claim("w1", [("work", 10)])
    assert len(claimed.jobs) == 5
    # Valkey's clock runs ahead of the test's by a few milliseconds.
    assert 1_980 <= claimed.later["work"] <= 2_000
    other = await store.claim("w2", [("work", 10)])
    assert other.jobs == []
    assert claimed.later["work"] < other.later["work"] <= 2_040  # not both at once
    subject.advance(claimed.later["work"])
    assert len(await claim(store, "w1", 10)) == 1


async def test_a_claim_that_finds_nothing_waiting_spends_no_rate(store: Store) -> None:
    await limit(store, rate=(2, 3600.0))
    assert await claim(store, "w1", 5) == []
    await submit(store, new(), new(), new())
    assert len(await claim(store, "w1", 5)) == 2


async def test_an_expired_job_spends_no_rate(store: Store, subject: Subject) -> None:
    await limit(store, rate=(1, 3600.0))
    late, job = new(deadline=subject.now + 1_000), new()
    await submit(store, late, job)
    subject.advance(2_000)
    assert ids(await claim(store, "w1")) == [job.id]
    assert (await record_of(store, late.id)).status is JobStatus.EXPIRED


async def test_priorities_hold_under_a_limit(store: Store) -> None:
    await limit(store, max_concurrency=2)
    low, high = [new(priority=-9) for _ in range(10)], [new(priority=9) for _ in range(10)]
    await submit(store, *low, *high)
    order: list[int] = []
    for _ in range(10):
        jobs = await claim(store, "w1", 1)
        order += [job.priority for job in jobs]
        await finish(store, *jobs)
    assert (order.count(9), order.count(-9)) == (8, 2)


async def test_each_key_has_a_number_of_its_own(store: Store) -> None:
    await limit(store, max_concurrency=2, concurrency_key="{tenant}")
    many, one = [of("a") for _ in range(5)], of("b")
    await submit(store, *many, one)
    claimed = await claim(store, "w1", 10)
    assert sorted(ids(claimed)) == sorted(ids([many[0], many[1], one]))
    await finish(store, claimed[0])
    assert len(await claim(store, "w2", 10)) == (1 if claimed[0].id != one.id else 0)


async def test_each_key_has_a_rate_of_its_own(store: Store, subject: Subject) -> None:
    await limit(store, rate=(1, 10.0), rate_limit_key="{tenant}")
    a, b = [of("a") for _ in range(3)], [of("b") for _ in range(2)]
    await submit(store, *a, *b)
    claimed = await store.claim("w1", [("work", 10)])
    assert ids(claimed.jobs) == [a[0].id, b[0].id]
    assert 9_980 <= claimed.later["work"] <= 10_000
    subject.advance(10_000)
    assert sorted(ids(await claim(store, "w1", 10))) == sorted([a[1].id, b[1].id])
    subject.advance(10_000)
    assert ids(await claim(store, "w1", 10)) == [a[2].id]


async def test_keys_take_turns_however_many_jobs_one_has(store: Store) -> None:
    await limit(store, max_concurrency=1_000, concurrency_key="{tenant}")
    await submit(store, *[of("a") for _ in range(100)])
    small = of("b")
    await submit(store, small)
    assert small.id in ids(await claim(store, "w1", 2))
    rest = [of(key) for key in "cdef"]
    await submit(store, *rest)
    assert set(ids(rest)) <= set(ids(await claim(store, "w1", 5)))


async def test_within_a_key_jobs_keep_their_order_and_their_priorities(store: Store) -> None:
    await limit(store, max_concurrency=1_000, concurrency_key="{tenant}")
    usual = [of("a") for _ in range(3)]
    urgent = [of("a", priority=5) for _ in range(2)]
    await submit(store, *usual, *urgent)
    assert ids([await claim_one(store) for _ in range(4)]) == ids([*urgent, *usual[:2]])


async def test_a_key_that_is_full_costs_others_nothing_and_comes_back(store: Store) -> None:
    await limit(store, max_concurrency=1, concurrency_key="{tenant}")
    keys = [f"t{n}" for n in range(20)]
    await submit(store, *[of(key) for key in keys for _ in range(2)])
    first = await claim(store, "w1", 100)
    assert len(first) == 20
    assert await claim(store, "w2", 100) == []
    await finish(store, first[7])
    [next_one] = await claim(store, "w2", 100)
    assert next_one.id not in ids(first)


async def test_a_key_that_may_run_again_is_news_to_a_hungry_worker(store: Store) -> None:
    await limit(store, max_concurrency=1, concurrency_key="{tenant}")
    await submit(store, of("a"), of("a"))
    heard = await ear(store, "w2")
    [running] = await claim(store, "w1", 5)
    assert await claim(store, "w2") == []
    await submit(store, of("a"))
    await store.now()
    assert heard == []
    await finish(store, running)
    await store.now()
    assert heard == [f"work {PREFIX}".encode()]


async def test_two_keys_of_one_job_bind_it_both(store: Store, subject: Subject) -> None:
    await limit(
        store,
        max_concurrency=1,
        concurrency_key="{account}",
        rate=(1, 10.0),
        rate_limit_key="{account}:{call}",
    )

    def job(account: str, call: str) -> Any:
        return new(limit_keys=limit_keys(account, f"{account}:{call}"))

    one, two, again = job("a", "x"), job("a", "y"), job("a", "x")
    await submit(store, one, two, again)
    [running] = await claim(store, "w1", 5)
    await finish(store, running)
    [running] = await claim(store, "w1", 5)
    assert running.id == two.id
    await finish(store, running)
    assert await claim(store, "w1", 5) == []  # x has had its start
    subject.advance(10_000)
    assert ids(await claim(store, "w1", 5)) == [again.id]


async def test_a_keyed_job_survives_rescue_retry_release_and_recovery(
    store: Store, subject: Subject
) -> None:
    await limit(store, max_concurrency=1, concurrency_key="{tenant}")
    job, behind = of("a"), of("a")
    await submit(store, job, behind)
    assert ids([await claim_one(store)]) == [job.id]
    assert ids((await store.recover("w1", ["work"], [])).jobs) == [job.id]
    subject.advance(1_000)
    await rescue(store, 1_000)
    again = await claim_one(store, "w2")
    assert (again.id, again.rescues) == (job.id, 1)  # ahead of the one that waits
    await finish(store, again, worker="w2", ending=Ending.RELEASE)
    again = await claim_one(store, "w2")
    assert again.id == job.id
    await finish(store, again, worker="w2", ending=Ending.RETRY, delay=1_000)
    assert ids([await claim_one(store, "w3")]) == [behind.id]
    subject.advance(1_000)
    await store.stage(["work"])
    assert await claim(store, "w2") == []
    await store.retire("w3", ["work"])
    assert {(await claim_one(store, "w2")).id} <= {job.id, behind.id}


async def test_a_cancelled_job_leaves_no_trace_of_its_key(store: Store, subject: Subject) -> None:
    await limit(store, max_concurrency=1, concurrency_key="{tenant}")
    job = of("a")
    await submit(store, job)
    await store.cancel(job.id, "no")
    assert await claim(store, "w1") == []
    assert subject.in_lanes() == 0
    assert (await record_of(store, job.id)).status is JobStatus.CANCELLED


async def test_waiting_jobs_with_keys_count_for_a_full_queue(
    store: Store, subject: Subject
) -> None:
    bounded = subject.rebind(most_waiting=2)
    await submit(bounded, of("a"), of("b"))
    [refused] = await bounded.enqueue([of("c")])
    assert "full" in str(refused)


async def test_jobs_without_keys_of_older_producers_have_their_share(store: Store) -> None:
    await limit(store, max_concurrency=100, concurrency_key="{tenant}")
    plain = [new() for _ in range(5)]
    await submit(store, *[of("a") for _ in range(20)], *plain)
    assert len(set(ids(await claim(store, "w1", 10))) & set(ids(plain))) == 5


async def test_jobs_with_keys_run_where_no_limit_is_declared(store: Store) -> None:
    jobs = [of("a"), of("b"), of("a")]
    await submit(store, *jobs)
    assert sorted(ids(await claim(store, "w1", 5))) == sorted(ids(jobs))


async def test_a_changed_limit_holds_from_the_next_claim_on(store: Store) -> None:
    await limit(store, max_concurrency=1, concurrency_key="{tenant}")
    heard = await ear(store, "w1")
    await submit(store, *[of("a") for _ in range(4)])
    assert len(await claim(store, "w1", 5)) == 1
    await limit(store, max_concurrency=3, concurrency_key="{tenant}")
    await store.now()
    assert heard == [f"work {PREFIX}".encode()]
    assert len(await claim(store, "w1", 5)) == 2
    await limit(store)
    assert len(await claim(store, "w1", 5)) == 1


async def test_a_rate_that_was_full_again_is_full_however_it_is_changed(
    store: Store, subject: Subject
) -> None:
    await limit(store, rate=(1, 2.0))
    await submit(store, new(), new(), new())
    assert len(await claim(store, "w1", 5)) == 1
    subject.advance(1_000)
    await limit(store, rate=(1, 3600.0))
    assert await claim(store, "w1", 5) == []
    subject.advance(1_500)
    assert len(await claim(store, "w1", 5)) == 1, "the old rate had filled it by now"
    subject.advance(2_500)
    assert await claim(store, "w1", 5) == []


async def test_a_lowered_limit_interrupts_nothing(store: Store) -> None:
    await limit(store, max_concurrency=3)
    await submit(store, *[new() for _ in range(5)])
    running = await claim(store, "w1", 5)
    await limit(store, max_concurrency=1)
    await finish(store, *running[:2])
    assert await claim(store, "w1", 5) == []
    await finish(store, running[2])
    assert len(await claim(store, "w1", 5)) == 1


async def test_a_busy_worker_passes_the_news_on(store: Store) -> None:
    await limit(store, max_concurrency=1)
    heard = await ear(store, "w2")
    await submit(store, new(), new())
    running = await claim_one(store)
    assert await claim(store, "w2") == []
    await store.claim("w3", [("work", 0)])
    await store.now()
    assert heard == [f"work {PREFIX}".encode()]
    await finish(store, running)
