"""After a claim whose reply was lost, and when a worker leaves."""

from __future__ import annotations

from tests.conformance.subject import (
    KEYS,
    Subject,
    claim,
    claim_one,
    new,
    outcome,
    rescue,
    submit,
)
from upnext.model.job import Job
from upnext.model.outcome import Ending, Settled
from upnext.model.status import JobStatus
from upnext.store.store import Store


async def test_a_lost_claim_is_told_again(store: Store) -> None:
    jobs = [new("a", arguments=b"[1]", priority=3, key="k"), new("b"), new("a")]
    await submit(store, *jobs)
    claimed = (await store.claim("w1", [("a", 5), ("b", 5)])).jobs
    again = (await store.recover("w1", ["a", "b"], [])).jobs
    assert {job.id for job in again} == {job.id for job in jobs}
    by_id = {job.id: job for job in claimed}
    for job in again:
        first = by_id[job.id]
        assert (job.attempt, job.delivery) == (first.attempt, first.delivery)
        assert (job.arguments, job.priority, job.key) == (
            first.arguments,
            first.priority,
            first.key,
        )
    assert await store.settle("w1", [outcome(job) for job in again]) == [Settled.APPLIED] * 3


async def test_known_jobs_and_those_of_others_are_left_out(store: Store) -> None:
    await submit(store, *(new() for _ in range(4)))
    mine = await claim(store, "w1", 3)
    await claim(store, "w2", 1)
    again = await store.recover("w1", ["work"], [mine[0].id, mine[2].id, "work-unknown"])
    assert [job.id for job in again.jobs] == [mine[1].id]


async def test_settled_and_lost_jobs_are_left_out(store: Store, subject: Subject) -> None:
    await submit(store, new(), new(), new())
    done, lost, kept = await claim(store, "w1", 3)
    await store.settle("w1", [outcome(done)])
    subject.advance(1_000)
    await store.renew("w1", [])
    assert set((await rescue(store, 1_000)).requeued) == {lost.id, kept.id}
    assert (await store.recover("w1", ["work"], [])).jobs == []


async def test_all_of_a_great_many_jobs_are_told_again(store: Store) -> None:
    await submit(store, *(new() for _ in range(2_300)))
    claimed = await claim(store, "w1", 2_300)
    known = [job.id for job in claimed[:2_250]]
    again = await store.recover("w1", ["work"], known)
    assert [job.id for job in again.jobs] == [job.id for job in claimed[2_250:]]


async def test_nothing_is_known_of_an_unknown_function(store: Store) -> None:
    assert (await store.recover("w1", ["never"], [])).jobs == []
    assert await store.retire("w1", ["never"]) == 0


async def test_a_worker_that_owes_nothing_is_forgotten(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await submit(store, new())
    await store.settle("w1", [outcome(await claim_one(store))])
    await store.claim("w1", [("work", 1)])
    assert await store.retire("w1", ["work"]) == 0
    await submit(store, new())
    await store.now()
    assert heard == []
    assert len(await claim(store, "w1")) == 1, "it may come back"


async def test_what_a_worker_leaves_behind_is_queued_again(store: Store) -> None:
    await submit(store, *(new("a") for _ in range(2)), new("b"))
    left = (await store.claim("w1", [("a", 5), ("b", 5)])).jobs
    await submit(store, new("a"))
    assert await store.retire("w1", ["a", "b"]) == 3
    again = (await store.claim("w2", [("a", 3), ("b", 1)])).jobs
    assert [job.id for job in again if job.function == "a"][:2] == [job.id for job in left[:2]]
    assert sorted((job.attempt, job.delivery) for job in again) == [(1, 1), (1, 2), (1, 2), (1, 2)]
    assert {await stale(store, job) for job in left} == {Settled.STALE}


async def test_of_those_it_leaves_behind_a_cancelled_one_is_over(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.cancel(job.id, "why")
    await store.retire("w1", ["work"])
    record = await store.lookup(job.id)
    assert record is not None
    assert (record.status, record.reason) == (JobStatus.CANCELLED, "why")


async def stale(store: Store, job: Job) -> Settled | str:
    """What its old worker is told that settles a job now."""
    [answer] = await store.settle("w1", [outcome(job)])
    return answer


async def test_a_released_job_is_owed_no_more(store: Store) -> None:
    await submit(store, new())
    await store.settle("w1", [outcome(await claim_one(store), Ending.RELEASE)])
    assert await store.retire("w1", ["work"]) == 0
    assert len(await claim(store, "w2")) == 1
