"""What becomes of a job that still waits after its deadline, with and without workers."""

from __future__ import annotations

import pytest

from tests.conformance.subject import Subject, claim, claim_one, new, outcome, record_of, submit
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.stage import MOST_PER_CALL
from upnext.store.store import Store

LATE = "the deadline passed while it waited"


@pytest.mark.parametrize("delay", [None, 60_000])
async def test_whoever_looks_finds_it_expired(
    store: Store, subject: Subject, delay: int | None
) -> None:
    job = new(budget=1_000, delay=delay, key="k", waiter="ch")
    heard: list[bytes] = []
    await store.subscribe("ch", heard.append, lambda: None).ready()
    await submit(store, job)
    watched = await store.watch(job.id, "ch")
    assert watched is not None
    assert not watched.status.is_terminal()
    assert watched.time_left is not None
    assert 0 < watched.time_left <= 1_000
    subject.advance(1_001)
    record = await store.watch(job.id, "")
    assert record is not None
    assert (record.status, record.reason, record.time_left) == (JobStatus.EXPIRED, LATE, None)
    await store.now()
    assert len(heard) == 1
    assert subject.lives_for(job.id) is not None
    assert subject.in_lanes() == 0
    assert await claim(store) == []
    await submit(store, new(key="k"))


@pytest.mark.parametrize("delay", [None, 60_000])
async def test_whoever_follows_finds_it_expired_and_is_told(
    store: Store, subject: Subject, delay: int | None
) -> None:
    job = new(budget=1_000, delay=delay)
    said: list[bytes] = []
    await store.subscribe(store.keys.said_channel(job.id), said.append, lambda: None).ready()
    await submit(store, job)
    heard = await store.follow(job.id, "out", "", 10)
    assert heard is not None
    assert not heard.status.is_terminal()
    assert heard.time_left is not None
    assert 0 < heard.time_left <= 1_000
    subject.advance(1_001)
    heard = await store.follow(job.id, "out", "", 10)
    assert heard is not None
    assert (heard.status, heard.time_left, heard.entries) == (JobStatus.EXPIRED, None, [])
    await store.now()
    assert said == [b"over"]
    assert (await record_of(store, job.id)).reason == LATE
    assert subject.in_lanes() == 0


async def test_a_sweep_ends_those_that_nobody_looks_for(store: Store, subject: Subject) -> None:
    late, scheduled = new(budget=1_000), new(delay=60_000, budget=1_000)
    sound, plain = new(budget=60_000), new()
    await submit(store, late, scheduled, sound, plain)
    subject.advance(1_001)
    [staged] = await store.stage(["work"])
    assert staged.moved == 0
    statuses = [(await record_of(store, job.id)).status for job in (late, scheduled, sound, plain)]
    assert statuses == [
        JobStatus.EXPIRED,
        JobStatus.EXPIRED,
        JobStatus.QUEUED,
        JobStatus.QUEUED,
    ]
    assert [event["type"] for event in subject.events()].count(b"expired") == 2


async def test_one_that_runs_is_its_workers_to_end(store: Store, subject: Subject) -> None:
    await submit(store, new(budget=1_000))
    job = await claim_one(store)
    subject.advance(1_001)
    await store.stage(["work"])
    record = await store.watch(job.id, "ch")
    assert record is not None
    assert (record.status, record.time_left) == (JobStatus.RUNNING, 0)
    await store.settle("w1", [outcome(job, Ending.EXPIRED, reason="while it ran")])
    assert (await record_of(store, job.id)).reason == "while it ran"


@pytest.mark.parametrize("ending", [Ending.RELEASE, Ending.SNOOZE])
async def test_one_that_comes_back_late_is_ended_by_the_next_sweep(
    store: Store, subject: Subject, ending: Ending
) -> None:
    await submit(store, new(budget=1_000))
    job = await claim_one(store)
    subject.advance(1_001)
    await store.stage(["work"])  # which finds it running
    await store.settle("w1", [outcome(job, ending, delay=0)])
    await store.stage(["work"])
    assert (await record_of(store, job.id)).status is JobStatus.EXPIRED


async def test_one_that_was_lost_and_is_late_is_ended_by_the_next_sweep(
    store: Store, subject: Subject
) -> None:
    await submit(store, new(budget=1_000))
    job = await claim_one(store, "dead")
    subject.advance(5_000)
    await store.stage(["work"])
    await store.rescue("rescuer", ["work"], 3_000, await store.now())
    await store.stage(["work"])
    assert (await record_of(store, job.id)).status is JobStatus.EXPIRED


async def test_many_are_ended_a_batch_at_a_time(store: Store, subject: Subject) -> None:
    count = MOST_PER_CALL + 1
    jobs = [new(budget=1_000) for _ in range(count)]
    for start in range(0, count, 100):
        await submit(store, *jobs[start : start + 100])
    subject.advance(1_001)
    assert (await store.stage(["work"]))[0].next_due_in == 0, "there is more to do"
    assert subject.in_lanes() == 1
    assert (await store.stage(["work"]))[0].next_due_in is None
    assert subject.in_lanes() == 0
