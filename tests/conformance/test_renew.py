"""What a lease promises."""

from __future__ import annotations

from tests.conformance.subject import (
    Subject,
    claim,
    claim_one,
    held,
    new,
    outcome,
    record_of,
    rescue,
    submit,
)
from upnext.model.job import Held, Revoked
from upnext.model.outcome import Ending
from upnext.store.store import Store

LEASE = 3_000


async def test_a_renewed_lease_is_not_rescued(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    for _ in range(5):
        subject.advance(LEASE - 1_000)
        assert await store.renew("w1", [held(job)]) == []
        assert (await rescue(store, LEASE)).requeued == []
    subject.advance(LEASE)
    assert (await rescue(store, LEASE)).requeued == [job.id]


async def test_what_is_held_no_more_is_named(store: Store, subject: Subject) -> None:
    await submit(store, *(new("a") for _ in range(4)), new("b"))
    claimed = (await store.claim("w1", [("a", 4), ("b", 1)])).jobs
    done, back, kept, _, other = claimed
    await store.settle("w1", [outcome(done), outcome(back, Ending.RELEASE)])
    missing = Held("a", "a-" + "0" * 32, 1)
    old = Held("b", other.id, other.delivery + 1)
    revoked = await store.renew("w1", [held(done), held(kept), held(back), missing, old])
    assert set(revoked) == {
        Revoked(done.id, 1, True),
        Revoked(back.id, 1, True),
        Revoked(missing.id, 1, True),
        Revoked(other.id, 2, True),
    }


async def test_another_workers_job_is_not_renewed(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store, "w1")
    subject.advance(LEASE)
    assert await store.renew("w2", [held(job)]) == [Revoked(job.id, 1, True)]
    assert (await rescue(store, LEASE)).requeued == [job.id]


async def test_a_late_beat_never_takes_a_rescued_job_back(store: Store, subject: Subject) -> None:
    await submit(store, new())
    stalled = await claim_one(store, "w1")
    subject.advance(LEASE)
    await rescue(store, LEASE)
    assert await store.renew("w1", [held(stalled)]) == [Revoked(stalled.id, 1, True)]
    again = await claim_one(store, "w2")
    assert await store.renew("w1", [held(stalled)]) == [Revoked(stalled.id, 1, True)]
    assert await store.renew("w2", [held(again)]) == []


async def test_the_same_worker_may_claim_a_job_it_lost(store: Store, subject: Subject) -> None:
    await submit(store, new())
    first = await claim_one(store, "w1")
    subject.advance(LEASE)
    await rescue(store, LEASE)
    second = await claim_one(store, "w1")
    assert await store.renew("w1", [held(first), held(second)]) == [Revoked(first.id, 1, True)]


async def test_a_cancellation_is_told_at_every_beat(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.cancel(job.id, "stop it, please \xe9")
    cancelled = Revoked(job.id, 1, False, "stop it, please \xe9")
    assert await store.renew("w1", [held(job)]) == [cancelled]
    subject.advance(LEASE - 1_000)
    assert await store.renew("w1", [held(job)]) == [cancelled]
    subject.advance(LEASE - 1_000)
    assert (await rescue(store, LEASE)).requeued == [], "it is held until it is settled"


async def test_an_empty_reason_is_still_a_cancellation(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.cancel(job.id, "")
    assert await store.renew("w1", [held(job)]) == [Revoked(job.id, 1, False, "")]


async def test_a_great_many_leases_are_renewed_at_once(store: Store, subject: Subject) -> None:
    await submit(store, *(new() for _ in range(2_500)))
    jobs = await claim(store, "w1", 2_500)
    subject.advance(LEASE - 1_000)
    assert await store.renew("w1", [held(job) for job in jobs]) == []
    subject.advance(LEASE - 1_000)
    assert (await rescue(store, LEASE)).requeued == []


async def test_nothing_held_is_no_error(store: Store) -> None:
    assert await store.renew("w1", []) == []


async def test_a_beat_is_no_delivery(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    for _ in range(20):
        subject.advance(1_000)
        assert await store.renew("w1", [held(job)]) == []
    record = await record_of(store, job.id)
    assert (record.delivery, record.attempt, record.rescues) == (1, 1, 0)
    assert await store.settle("w1", [outcome(job)]) == ["applied"]
