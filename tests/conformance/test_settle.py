"""What writing down the end of an attempt promises."""

from __future__ import annotations

import pytest

from tests.conformance.subject import (
    KEYS,
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
from upnext.model.job import Held
from upnext.model.outcome import Ending, Outcome, Settled
from upnext.model.status import JobStatus
from upnext.store.store import Store

APPLIED, REPEATED, STALE = [Settled.APPLIED], [Settled.REPEATED], [Settled.STALE]
LEASE = 1_000
ENDS = {
    Ending.COMPLETE: JobStatus.COMPLETE,
    Ending.FAILED: JobStatus.FAILED,
    Ending.CANCELLED: JobStatus.CANCELLED,
    Ending.EXPIRED: JobStatus.EXPIRED,
}
AGAIN = [Ending.RETRY, Ending.SNOOZE, Ending.RELEASE]


@pytest.mark.parametrize("ending", ENDS)
async def test_an_end_is_written_down(store: Store, subject: Subject, ending: Ending) -> None:
    await submit(store, new())
    job = await claim_one(store)
    subject.advance(500)
    over = outcome(
        job, ending, result=b'{"n":9007199254740993}', error=b"[]", duration=300, reason="why"
    )
    assert await store.settle("w1", [over]) == APPLIED
    record = await record_of(store, job.id)
    assert record.status is ENDS[ending]
    assert (record.result, record.error, record.reason) == (over.result, b"[]", "why")
    assert record.finished_at is not None
    assert record.started_at == record.finished_at - 300
    assert subject.in_lanes() == 0


async def test_results_may_be_any_bytes(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    every = bytes(range(256))
    await store.settle("w1", [outcome(job, result=every, error=every)])
    record = await record_of(store, job.id)
    assert (record.result, record.error) == (every, every)


async def test_a_record_lives_for_a_time_after_the_end_only(subject: Subject) -> None:
    store = subject.rebind(record_ttl=5_000)
    waits, runs = new(), new(delay=1_000)
    await submit(store, waits, runs)
    assert (subject.lives_for(waits.id), subject.lives_for(runs.id)) == (None, None)
    job = await claim_one(store)
    assert subject.lives_for(job.id) is None
    await store.settle("w1", [outcome(job, Ending.RETRY, delay=100)])
    assert subject.lives_for(job.id) is None
    subject.advance(10 * 24 * 3_600_000)
    await store.stage(["work"])
    jobs = await claim(store, count=5)
    assert {job.id for job in jobs} == {waits.id, runs.id}, "waiting costs no job its record"
    await store.settle("w1", [outcome(job) for job in jobs])
    left = subject.lives_for(waits.id)
    assert left is not None
    assert 4_900 < left <= 5_000
    subject.advance(5_100)
    assert await store.lookup(waits.id) is None


@pytest.mark.parametrize("ending", [*ENDS, *AGAIN])
async def test_the_same_settlement_twice_is_applied_once(
    store: Store, subject: Subject, ending: Ending
) -> None:
    await submit(store, new())
    job = await claim_one(store)
    over = outcome(job, ending)
    assert await store.settle("w1", [over]) == APPLIED
    events = len(subject.events())
    assert await store.settle("w1", [over]) == REPEATED
    assert len(subject.events()) == events
    assert subject.in_lanes() == (1 if ending in AGAIN else 0)


async def test_a_settled_delivery_stays_settled_when_the_job_is_cancelled(store: Store) -> None:
    await submit(store, new())
    over = outcome(await claim_one(store), Ending.RETRY, delay=100)
    await store.settle("w1", [over])
    await store.cancel(over.held.id, "no")
    assert await store.settle("w1", [over]) == REPEATED


async def test_another_delivery_makes_a_settlement_stale(store: Store, subject: Subject) -> None:
    await submit(store, new())
    first = await claim_one(store)
    await store.settle("w1", [outcome(first, Ending.RELEASE)])
    second = await claim_one(store)
    assert await store.settle("w1", [outcome(first, Ending.FAILED)]) == STALE
    assert await store.settle("w2", [outcome(second, Ending.FAILED)]) == STALE
    ahead = Outcome(held=Held("work", second.id, 3), ending=Ending.FAILED)
    assert await store.settle("w1", [ahead]) == STALE
    assert await store.settle("w1", [outcome(second)]) == APPLIED
    assert (await record_of(store, second.id)).status is JobStatus.COMPLETE


async def test_a_rescued_job_cannot_be_settled_by_its_first_worker(
    store: Store, subject: Subject
) -> None:
    await submit(store, new())
    first = await claim_one(store, "w1")
    subject.advance(LEASE)
    await rescue(store, LEASE)
    assert await store.settle("w1", [outcome(first, result=b"1")]) == STALE
    second = await claim_one(store, "w2")
    assert await store.settle("w1", [outcome(first, result=b"1")]) == STALE
    assert await store.settle("w2", [outcome(second, result=b"2")]) == APPLIED
    assert (await record_of(store, first.id)).result == b"2"
    assert await store.settle("w1", [outcome(first, result=b"1")]) == STALE


async def test_a_missing_job_is_stale(store: Store) -> None:
    gone = Outcome(held=Held("work", "work-" + "0" * 32, 1), ending=Ending.COMPLETE)
    assert await store.settle("w1", [gone]) == STALE


async def test_a_batch_over_several_functions_is_answered_in_order(store: Store) -> None:
    await submit(store, new("a"), new("b"), new("a"))
    a1, a2, b1 = (await store.claim("w1", [("a", 2), ("b", 1)])).jobs
    gone = Outcome(held=Held("b", "b-" + "0" * 32, 1), ending=Ending.COMPLETE)
    batch = [outcome(a1), gone, outcome(b1), outcome(a1), outcome(a2, Ending.FAILED)]
    applied, stale, repeated = Settled.APPLIED, Settled.STALE, Settled.REPEATED
    assert await store.settle("w1", batch) == [applied, stale, applied, repeated, applied]


async def test_a_great_batch_is_settled(store: Store, subject: Subject) -> None:
    await submit(store, *(new() for _ in range(2_500)))
    jobs = await claim(store, "w1", 2_500)
    answers = await store.settle("w1", [outcome(job) for job in jobs])
    assert answers == [Settled.APPLIED] * 2_500
    assert subject.in_lanes() == 0


async def test_nothing_settled_is_no_error(store: Store) -> None:
    assert await store.settle("w1", []) == []


async def test_a_retry_spends_an_attempt(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    over = outcome(job, Ending.RETRY, delay=2_000, error=b'{"type":"E"}', reason="again")
    await store.settle("w1", [over])
    record = await record_of(store, job.id)
    assert (record.status, record.attempt) == (JobStatus.SCHEDULED, 1)
    assert (record.error, record.reason) == (b'{"type":"E"}', "again")
    assert record.due_at is not None
    assert abs(record.due_at - subject.now - 2_000) < 100
    assert await claim(store) == []
    subject.advance(2_000)
    await store.stage(["work"])
    assert (await claim_one(store)).attempt == 2


@pytest.mark.parametrize("ending", [Ending.SNOOZE, Ending.RELEASE])
async def test_snooze_and_release_give_the_attempt_back(store: Store, ending: Ending) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, ending, reason="not now")])
    record = await record_of(store, job.id)
    assert (record.status, record.attempt, record.delivery) == (JobStatus.QUEUED, 0, 1)
    assert record.reason == "not now"
    again = await claim_one(store)
    assert (again.attempt, again.delivery) == (1, 2)


async def test_a_snoozed_job_waits_for_its_time(store: Store, subject: Subject) -> None:
    await submit(store, new())
    await store.settle("w1", [outcome(await claim_one(store), Ending.SNOOZE, delay=1_000)])
    assert await claim(store) == []
    subject.advance(1_000)
    await store.stage(["work"])
    assert (await claim_one(store)).attempt == 1


async def test_only_a_release_is_first_in_line(store: Store) -> None:
    await submit(store, *(new() for _ in range(4)))
    retried, snoozed, released = await claim(store, count=3)
    batch = [
        outcome(retried, Ending.RETRY),
        outcome(snoozed, Ending.SNOOZE),
        outcome(released, Ending.RELEASE),
    ]
    await store.settle("w1", batch)
    [first] = await claim(store)
    assert first.id == released.id
    assert [job.id for job in await claim(store, count=3)][1:] == [retried.id, snoozed.id]


async def test_an_error_is_kept_until_the_job_completes(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.RETRY, error=b'"first"')])
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.SNOOZE)])
    assert (await record_of(store, job.id)).error == b'"first"'
    await store.settle("w1", [outcome(await claim_one(store), result=b"1")])
    assert (await record_of(store, job.id)).error == b""


@pytest.mark.parametrize("delay", [4_000, 5_000, 6_000])
async def test_a_retry_past_the_deadline_fails_at_once(
    store: Store, subject: Subject, delay: int
) -> None:
    await submit(store, new(budget=9_000, key="k"))
    job = await claim_one(store)
    subject.advance(4_000)
    await store.settle("w1", [outcome(job, Ending.RETRY, delay=delay, error=b'"E"')])
    record = await record_of(store, job.id)
    in_time = delay < 5_000
    assert record.status is (JobStatus.SCHEDULED if in_time else JobStatus.FAILED)
    assert record.error == b'"E"'
    assert ("deadline" in record.reason) is not in_time


async def test_a_snooze_past_the_deadline_expires(store: Store, subject: Subject) -> None:
    await submit(store, new(budget=2_000))
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.SNOOZE, delay=3_000)])
    subject.advance(3_000)
    await store.stage(["work"])
    assert await claim(store) == []
    assert (await record_of(store, job.id)).status is JobStatus.EXPIRED


@pytest.mark.parametrize("ending", [*ENDS, *AGAIN])
async def test_a_cancelled_job_is_not_run_again(
    store: Store, subject: Subject, ending: Ending
) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.cancel(job.id, "the user said so")
    assert await store.settle("w1", [outcome(job, ending, delay=100, reason="other")]) == APPLIED
    record = await record_of(store, job.id)
    if ending in AGAIN or ending is Ending.FAILED:  # what it raises while it unwinds is no failure
        assert (record.status, record.reason) == (JobStatus.CANCELLED, "the user said so")
    else:
        assert (record.status, record.reason) == (ENDS[ending], "other")
    assert subject.in_lanes() == 0


async def test_a_job_that_came_to_its_end_holds_nothing(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job)])
    subject.advance(LEASE)
    rescued = await rescue(store, LEASE)
    assert (rescued.requeued, rescued.buried) == ([], [])
    assert [revoked.lost for revoked in await store.renew("w1", [held(job)])] == [True]


async def test_who_hands_a_job_back_is_not_woken_for_it(store: Store) -> None:
    """It stops, or has no room; another one that is free is to come at once."""
    await submit(store, new())
    job = await claim_one(store, "w1")
    heard: dict[str, list[bytes]] = {"w1": [], "w2": []}
    for worker, messages in heard.items():
        await store.subscribe(KEYS.worker_channel(worker), messages.append, lambda: None).ready()
        assert await claim(store, worker) == []  # w1 has waited longest
    await store.settle("w1", [outcome(job, Ending.RELEASE)])
    await store.now()  # a message may come after the reply
    assert heard == {"w1": [], "w2": [b"work " + KEYS.function("work").encode()]}
    await store.settle("w2", [outcome(await claim_one(store, "w2"))])
    await submit(store, new())
    await store.now()
    assert len(heard["w1"]) == 1, "it is in line still"


async def test_who_hands_a_job_back_is_woken_when_there_is_nobody_else(store: Store) -> None:
    """It had no room, got some, and found nothing more to do before the job was back."""
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await submit(store, new())
    job = await claim_one(store, "w1")
    assert await claim(store, "w1") == []
    await store.settle("w1", [outcome(job, Ending.RELEASE)])
    await store.now()  # a message may come after the reply
    assert heard == [b"work " + KEYS.function("work").encode()]
