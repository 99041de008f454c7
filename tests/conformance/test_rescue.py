"""What becomes of jobs whose worker died."""

from __future__ import annotations

import json

import pytest

from tests.conformance.subject import (
    KEYS,
    ServerSubject,
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
from upnext.model.job import Rescued
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store

LEASE = 3_000
HOUR = 3_600_000
NOTHING = Rescued([], [])


async def test_a_lost_job_is_first_in_line_and_spends_no_attempt(
    store: Store, subject: Subject
) -> None:
    lost, waiting = new(), new()
    await submit(store, lost, waiting)
    await claim_one(store, "dead")
    subject.advance(LEASE)
    assert await rescue(store, LEASE) == Rescued([lost.id], [])
    record = await record_of(store, lost.id)
    assert (record.status, record.attempt, record.rescues) == (JobStatus.QUEUED, 0, 1)
    assert (record.worker, record.reason) == ("", "lost with worker dead")
    first, second = await claim(store, count=2)
    assert (first.id, first.attempt, first.delivery, first.rescues) == (lost.id, 1, 2, 1)
    assert second.id == waiting.id


async def test_a_lease_that_runs_is_left_alone(store: Store, subject: Subject) -> None:
    await submit(store, new())
    await claim_one(store)
    subject.advance(LEASE - 1_000)
    assert await rescue(store, LEASE) == NOTHING


async def test_several_lost_jobs_keep_their_order(store: Store, subject: Subject) -> None:
    await submit(store, *(new(priority=p) for p in (0, 5, 0, 5)))
    jobs = await claim(store, "dead", 4)
    subject.advance(LEASE)
    rescued = await rescue(store, LEASE)
    assert rescued.requeued == [job.id for job in jobs]
    again = await claim(store, count=4)
    assert [job.id for job in sorted(again, key=lambda job: -job.priority)] == rescued.requeued


async def test_a_rescuer_never_takes_its_own(store: Store, subject: Subject) -> None:
    await submit(store, new(), new())
    await claim_one(store, "rescuer")
    other = await claim_one(store, "dead")
    subject.advance(LEASE)
    assert await rescue(store, LEASE, worker="rescuer") == Rescued([other.id], [])


async def test_a_rescuer_with_many_stale_jobs_of_its_own_still_finds_others(
    store: Store, subject: Subject
) -> None:
    await submit(store, *(new() for _ in range(451)))
    await claim(store, "rescuer", 450)
    other = await claim_one(store, "dead")
    subject.advance(LEASE)
    assert await rescue(store, LEASE, worker="rescuer") == Rescued([other.id], [])


async def test_a_lost_job_behind_many_that_run_on_is_found(store: Store, subject: Subject) -> None:
    await submit(store, *(new() for _ in range(451)))
    running = [held(job) for job in await claim(store, "alive", 450)]
    lost = await claim_one(store, "dead")
    for _ in range(2):
        subject.advance(LEASE // 2)
        assert await store.renew("alive", running) == []
    assert await rescue(store, LEASE) == Rescued([lost.id], [])


async def test_a_request_that_comes_late_takes_nothing(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    asked_at = await store.now()
    subject.advance(LEASE)
    held_back = await store.rescue("rescuer", ["work"], LEASE, asked_at)
    assert (held_back.requeued, held_back.held_back) == ([], True)
    assert await store.renew("w1", [held(job)]) == []
    assert await rescue(store, LEASE) == NOTHING


@pytest.mark.parametrize("renewed", [False, True])
async def test_after_the_clock_was_set_back_a_lease_runs_out_one_lease_later(
    store: Store, subject: Subject, renewed: bool
) -> None:
    await submit(store, new(), new())
    [lost] = await claim(store, "dead")
    [running] = await claim(store, "alive")
    if renewed:  # claimed long before the step, and kept until then
        for _ in range(3):
            subject.advance(LEASE // 2)
            await store.renew("dead", [held(lost)])
            await store.renew("alive", [held(running)])
    subject.advance(-HOUR)
    assert await rescue(store, LEASE) == NOTHING
    subject.advance(LEASE // 2)
    assert await store.renew("alive", [held(running)]) == []
    subject.advance(LEASE // 2 - 500)
    assert await rescue(store, LEASE) == NOTHING
    subject.advance(500)
    assert await rescue(store, LEASE) == Rescued([lost.id], [])
    assert await store.settle("alive", [outcome(running)]) == ["applied"]


async def test_each_step_of_the_clock_is_seen_to(store: Store, subject: Subject) -> None:
    for _ in range(3):
        await submit(store, new())
        lost = await claim_one(store, "dead")
        subject.advance(-HOUR)
        assert await rescue(store, LEASE) == NOTHING
        subject.advance(LEASE)
        assert await rescue(store, LEASE) == Rescued([lost.id], [])
        await store.settle("w1", [outcome(await claim_one(store))])


async def test_a_clock_that_is_set_back_holds_up_none_of_a_great_many(
    store: Store, subject: Subject
) -> None:
    await submit(store, *(new() for _ in range(5_200)))
    lost = await claim(store, "dead", 5_200)
    subject.advance(-HOUR)
    for _ in range(2):
        assert await rescue(store, LEASE) == NOTHING
    subject.advance(LEASE)
    requeued: list[str] = []
    while some := (await rescue(store, LEASE)).requeued:
        requeued += some
    assert len(requeued) == len(lost)


async def test_a_step_that_nobody_saw_is_seen_to(server: ServerSubject) -> None:
    """The server was restarted, and its clock differed when it came back."""
    await submit(server.store, new())
    lost = await claim_one(server.store, "dead")
    server.client.function_flush()
    server.advance(-HOUR)
    assert await rescue(server.store, LEASE) == NOTHING
    server.advance(LEASE)
    assert await rescue(server.store, LEASE) == Rescued([lost.id], [])


async def test_a_job_lost_too_often_is_buried(store: Store, subject: Subject) -> None:
    poison = new(key="k", waiter="ch")
    heard: list[bytes] = []
    await store.subscribe("ch", heard.append, lambda: None).ready()
    await submit(store, poison)
    for _ in range(2):
        await claim_one(store, "dead")
        subject.advance(LEASE)
        assert await rescue(store, LEASE) == Rescued([poison.id], [])
    last = await claim_one(store, "dead")
    subject.advance(LEASE)
    assert await rescue(store, LEASE) == Rescued([], [poison.id])
    record = await record_of(store, poison.id)
    assert (record.status, record.rescues) == (JobStatus.FAILED, 3)
    assert json.loads(record.error) == {
        "type": "upnext.WorkerLost",
        "message": "killed 3 workers",
        "traceback": "",
        "reason": "worker_lost",
    }
    assert subject.lives_for(poison.id) is not None
    assert subject.in_lanes() == 0
    await store.now()
    assert [json.loads(notice)["status"] for notice in heard] == ["failed"]
    await submit(store, new(key="k"))
    late = await store.settle("dead", [outcome(last)])
    assert late == ["stale"], "whoever was given up cannot claim to have settled it"


async def test_jobs_that_were_lost_together_twice_are_kept_apart(
    store: Store, subject: Subject
) -> None:
    """One of them kills its worker; the others are not to be with it a third time."""
    jobs = [new() for _ in range(3)]
    await submit(store, *jobs)
    for worker in ("dead", "dead too"):
        assert len(await claim(store, worker, 9)) == 3
        subject.advance(LEASE)
        assert len((await rescue(store, LEASE)).requeued) == 3
    fresh = new()
    await submit(store, fresh)
    first, other = await claim(store, "w1", 9)
    suspect = first if first.rescues else other
    assert {first.id, other.id} == {suspect.id, fresh.id}, "one suspect, and any other job"
    apart = [job for job in jobs if job.id != suspect.id]
    records = [await record_of(store, job.id) for job in apart]
    assert {record.status for record in records} == {JobStatus.SCHEDULED}
    subject.advance(1_100)
    await store.stage(["work"])
    [elsewhere] = await claim(store, "w2", 9)
    await store.settle("w1", [outcome(suspect)])
    subject.advance(1_100)
    await store.stage(["work"])
    [last] = await claim(store, "w1", 9)
    assert {elsewhere.id, last.id} == {job.id for job in apart}


async def test_the_number_of_rescues_allowed_can_be_set(subject: Subject) -> None:
    store = subject.rebind(most_rescues=1)
    await submit(store, new())
    job = await claim_one(store, "dead")
    subject.advance(LEASE)
    assert await rescue(store, LEASE) == Rescued([], [job.id])


async def test_a_job_whose_cancellation_was_asked_for_is_not_run_again(
    store: Store, subject: Subject
) -> None:
    await submit(store, new())
    job = await claim_one(store, "dead")
    await store.cancel(job.id, "no more")
    subject.advance(LEASE)
    assert await rescue(store, LEASE) == NOTHING
    record = await record_of(store, job.id)
    assert (record.status, record.reason) == (JobStatus.CANCELLED, "no more")
    assert await store.settle("dead", [outcome(job)]) == ["stale"]
    assert subject.in_lanes() == 0


@pytest.mark.parametrize(
    ("ending", "counted"), [(Ending.RETRY, 0), (Ending.SNOOZE, 0), (Ending.RELEASE, 1)]
)
async def test_only_rescues_in_a_row_count(
    store: Store, subject: Subject, ending: Ending, counted: int
) -> None:
    await submit(store, new())
    await claim_one(store, "dead")
    subject.advance(LEASE)
    await rescue(store, LEASE)
    again = await claim_one(store)
    assert again.rescues == 1
    await store.settle("w1", [outcome(again, ending)])
    assert (await claim_one(store)).rescues == counted


async def test_rescues_of_several_functions_are_joined(store: Store, subject: Subject) -> None:
    await submit(store, new("a"), new("b"))
    jobs = (await store.claim("dead", [("a", 1), ("b", 1)])).jobs
    subject.advance(LEASE)
    rescued = await store.rescue("rescuer", ["a", "none", "b"], LEASE, await store.now())
    assert rescued == Rescued([job.id for job in jobs], [])


async def test_a_rescue_wakes_a_hungry_worker(store: Store, subject: Subject) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await submit(store, new())
    await claim_one(store, "dead")
    await store.claim("w1", [("work", 1)])
    subject.advance(LEASE)
    await rescue(store, LEASE)
    await store.now()
    assert len(heard) == 1
