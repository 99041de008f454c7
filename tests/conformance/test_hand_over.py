"""A job submitted while a worker is hungry goes to it whole, without being asked for."""

from __future__ import annotations

import pytest
from attrs import asdict

from tests.conformance.subject import (
    KEYS,
    Subject,
    claim,
    new,
    outcome,
    record_of,
    rescue,
    submit,
)
from upnext.contracts.claimed import job_of, unpack_handed
from upnext.model.job import Job
from upnext.model.outcome import Ending, Settled
from upnext.model.status import JobStatus
from upnext.store.store import Store

PREFIX = KEYS.function("work")


class Ear:
    """A worker's ear: what it hears on its control channel."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    @classmethod
    async def of(cls, store: Store, worker: str = "w1", *, want: int = 1) -> Ear:
        """An ear, and the worker is hungry."""
        ear = cls()
        channel = KEYS.worker_channel(worker)
        await store.subscribe(channel, ear.heard.append, lambda: None).ready()
        if want:
            assert await claim(store, worker, want) == []
        return ear

    def jobs(self) -> list[Job]:
        """The jobs among what it heard."""
        handed = [unpack_handed(one) for one in self.heard if one.startswith(b"job ")]
        assert all(prefix == PREFIX for prefix, _, _ in handed)
        return [job_of("work", row, now) for _, now, row in handed]


async def test_it_runs_at_once_and_needs_no_claim(store: Store) -> None:
    ear, job = await Ear.of(store), new(arguments=b'["\\n", "' + "☃".encode() + b'"]')
    await submit(store, job)
    await store.now()
    [handed] = ear.jobs()
    record = await record_of(store, job.id)
    assert (record.status, record.worker) == (JobStatus.RUNNING, "w1")
    assert (handed.id, handed.attempt, handed.delivery) == (job.id, 1, 1)
    assert handed.arguments == job.arguments
    assert (handed.created_at, handed.claimed_at) == (record.created_at, record.claimed_at)
    assert await claim(store, "w2") == []
    assert await store.settle("w1", [outcome(handed, result=b"1")]) == [Settled.APPLIED]
    assert (await record_of(store, job.id)).status is JobStatus.COMPLETE


async def test_it_carries_all_that_a_claim_would(store: Store, subject: Subject) -> None:
    fields = {
        "priority": 3,
        "deadline": subject.now + 100_000,
        "key": "a b\n☃",
        "parent_id": "work-p",
        "root_id": "work-r",
        "source": b'{"cron":"x\\n"}',
        "arguments": b"[1]",
    }
    ear, job = await Ear.of(store), new(**fields)
    await submit(store, job)
    await store.now()
    [handed] = ear.jobs()
    [again] = (await store.recover("w1", ["work"], [])).jobs
    assert asdict(handed) == asdict(again) | {"claimed_at": handed.claimed_at}
    assert {name: getattr(handed, name) for name in fields} == fields


async def test_one_job_for_each_time_it_says_it_is_hungry(store: Store) -> None:
    ear = await Ear.of(store, want=5)
    await submit(store, new())
    await submit(store, new())
    await store.now()
    assert len(ear.jobs()) == len(ear.heard) == 1
    assert len(await claim(store, "w1", 5)) == 1
    await submit(store, new())
    await store.now()
    assert len(ear.jobs()) == 2


async def test_the_worker_that_waited_longest_gets_it(store: Store, subject: Subject) -> None:
    ears: list[Ear] = []
    for worker in ("w2", "w1", "w3"):
        ears.append(await Ear.of(store, worker))
        subject.advance(10)
    assert await claim(store, "w2") == []  # asking again does not put it at the end
    for _ in range(3):
        await submit(store, new())
    await store.now()
    [[first], [second], [third]] = [ear.jobs() for ear in ears]
    assert first.created_at <= second.created_at <= third.created_at


async def test_one_that_waits_longer_goes_first(store: Store) -> None:
    ear = await Ear.of(store)
    before, after = new(), new()
    await submit(store, before, new())  # of two jobs none is handed over
    await store.now()
    assert ear.jobs() == []
    ear = await Ear.of(store, "w2", want=0)
    await claim(store, "w2", 5)
    await submit(store, after)
    await store.now()
    [job] = ear.jobs()
    assert job.id == after.id


async def test_a_worker_that_is_gone_gets_none(store: Store) -> None:
    await claim(store, "dead")
    ear = await Ear.of(store, "alive")
    job = new()
    await submit(store, job)
    await store.now()
    assert [one.id for one in ear.jobs()] == [job.id]
    assert (await record_of(store, job.id)).worker == "alive"


async def test_with_nobody_there_it_waits(store: Store) -> None:
    await claim(store, "dead")
    job = new()
    await submit(store, job)
    assert (await record_of(store, job.id)).status is JobStatus.QUEUED
    assert [one.id for one in await claim(store, "w1")] == [job.id]


async def test_a_resent_submit_hands_nothing_over_twice(store: Store) -> None:
    ear, job = await Ear.of(store), new()
    await submit(store, job)
    await claim(store, "w1")
    await submit(store, job)
    await store.now()
    assert len(ear.jobs()) == 1


@pytest.mark.parametrize("fields", [{"delay": 1_000}, {"key": "held"}])
async def test_what_does_not_wait_is_not_handed_over(
    store: Store, fields: dict[str, object]
) -> None:
    await submit(store, new(key="held"))
    [holder] = await claim(store, "w0")
    ear = await Ear.of(store)
    await store.enqueue([new(**fields)])
    await store.now()
    assert ear.heard == []
    assert holder.key == "held"


async def test_handed_back_it_is_first_in_line_and_nothing_is_spent(store: Store) -> None:
    ear = await Ear.of(store)
    job = new()
    await submit(store, job)
    await store.now()
    await submit(store, new())
    [handed] = ear.jobs()
    await store.settle("w1", [outcome(handed, Ending.RELEASE, reason="no free slot")])
    first, _ = await claim(store, "w2", 2)
    assert (first.id, first.attempt, first.delivery) == (job.id, 1, 2)


async def test_unheard_it_is_rescued(store: Store, subject: Subject) -> None:
    await Ear.of(store)
    job = new()
    await submit(store, job)
    subject.advance(1_000)
    assert (await rescue(store, 1_000)).requeued == [job.id]
    [again] = await claim(store, "w2")
    assert (again.id, again.attempt, again.rescues) == (job.id, 1, 1)


async def test_an_expired_job_is_not_what_it_gets(store: Store, subject: Subject) -> None:
    late, job = new(deadline=subject.now + 1_000), new()
    await submit(store, late)
    subject.advance(2_000)
    ear = await Ear.of(store)
    assert (await record_of(store, late.id)).status is JobStatus.EXPIRED
    await submit(store, job)
    await store.now()
    assert [one.id for one in ear.jobs()] == [job.id]
