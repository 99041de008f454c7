"""What a cancellation promises, in every state of a job."""

from __future__ import annotations

import pytest

from tests.conformance.subject import (
    KEYS,
    Subject,
    claim,
    claim_one,
    new,
    outcome,
    record_of,
    submit,
)
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.cancel import CancelVerdict
from upnext.store.store import Store


@pytest.mark.parametrize("delay", [None, 5_000])
async def test_a_waiting_job_is_over_at_once(
    store: Store, subject: Subject, delay: int | None
) -> None:
    job = new(delay=delay, key="k")
    await submit(store, job)
    assert await store.cancel(job.id, "no need") is CancelVerdict.CANCELLED
    record = await record_of(store, job.id)
    assert (record.status, record.reason) == (JobStatus.CANCELLED, "no need")
    assert record.finished_at is not None
    assert subject.lives_for(job.id) is not None
    assert subject.in_lanes() == 0
    await submit(store, new(key="k"))


async def test_a_running_job_is_cancelled_through_its_worker(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await submit(store, new())
    job = await claim_one(store, "w1")
    assert await store.cancel(job.id, "too slow \xe9") is CancelVerdict.REQUESTED
    await store.now()
    assert heard == [f"cancel {job.id} 1 too slow \xe9".encode()]
    record = await record_of(store, job.id)
    assert (record.status, record.cancel_requested) == (JobStatus.RUNNING, True)


async def test_asking_again_tells_the_worker_again_but_keeps_the_reason(
    store: Store, subject: Subject
) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await submit(store, new())
    job = await claim_one(store, "w1")
    await store.cancel(job.id, "first")
    await store.cancel(job.id, "second")
    await store.now()
    assert len(heard) == 2
    await store.settle("w1", [outcome(job, Ending.RETRY)])
    assert (await record_of(store, job.id)).reason == "first"
    asked = [event for event in subject.events() if event["type"] == b"cancel_requested"]
    assert len(asked) == 1


@pytest.mark.parametrize("ending", ["complete", "failed", "cancelled", "expired"])
async def test_what_is_over_stays_as_it_is(store: Store, subject: Subject, ending: str) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending(ending), reason="its own")])
    events = len(subject.events())
    assert await store.cancel(job.id, "too late") is CancelVerdict.FINISHED
    record = await record_of(store, job.id)
    assert (record.status.value, record.reason) == (ending, "its own")
    assert len(subject.events()) == events


async def test_a_job_between_two_attempts_is_over_at_once(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.RETRY, delay=1_000)])
    assert await store.cancel(job.id, "enough") is CancelVerdict.CANCELLED
    assert (await store.stage(["work"]))[0].next_due_in is None


async def test_a_released_job_is_over_at_once(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.RELEASE)])
    assert await store.cancel(job.id, "enough") is CancelVerdict.CANCELLED
    assert await claim(store) == []
    assert subject.in_lanes() == 0


async def test_a_missing_job_is_missing(store: Store) -> None:
    assert await store.cancel("work-" + "0" * 32, "?") is CancelVerdict.MISSING


async def test_what_is_no_id_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        await store.cancel("work", "?")


async def test_declared_functions_are_known(store: Store) -> None:
    assert await store.functions() == []
    await store.declare({"send mail": b"{}", "work": b"{}"})
    await store.declare({"work": b'{"retries":1}'})
    assert sorted(await store.functions()) == ["send mail", "work"]
