"""What claiming certain jobs promises: all that a claim does, but for their turn."""

from __future__ import annotations

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
from tests.conformance.test_limits import ear, ids, limit, of
from upnext.model.identity import new_job_id
from upnext.model.job import Job, NewJob, Picked
from upnext.model.outcome import Ending, Settled
from upnext.model.status import JobStatus
from upnext.store.store import Store

LEASE = 3_000


async def pick(store: Store, *jobs: NewJob, worker: str = "w1", count: int = 10) -> Picked:
    return await store.pick(worker, "work", count, [job.id for job in jobs])


async def pick_one(store: Store, job: NewJob, worker: str = "w1") -> Job:
    [picked] = (await pick(store, job, worker=worker)).jobs
    return picked


async def test_it_takes_those_that_are_named_and_no_others(store: Store, subject: Subject) -> None:
    jobs = [new(arguments=f"[{n}]".encode()) for n in range(5)]
    await submit(store, *jobs)
    picked = await pick(store, jobs[3], jobs[1])
    assert ids(picked.jobs) == [jobs[3].id, jobs[1].id]
    assert [job.arguments for job in picked.jobs] == [b"[3]", b"[1]"]
    assert (picked.looked, picked.later) == (2, {})
    assert abs(picked.now - subject.now) < 100
    assert subject.in_lanes() == 5
    assert ids(await claim(store, "w2", 10)) == [jobs[0].id, jobs[2].id, jobs[4].id]


async def test_a_picked_job_is_as_a_claimed_one(store: Store, subject: Subject) -> None:
    plain, special = new(), new(priority=4, key="k", budget=60_000, parent_id=new_job_id("p"))
    await submit(store, plain, special)
    picked = (await pick(store, plain, special)).jobs
    assert [(job.attempt, job.delivery) for job in picked] == [(1, 1), (1, 1)]
    assert (picked[1].priority, picked[1].key, picked[1].parent_id) == (4, "k", special.parent_id)
    assert picked[1].deadline is not None
    for job in picked:
        record = await record_of(store, job.id)
        assert (record.status, record.worker) == (JobStatus.RUNNING, "w1")
        assert record.claimed_at is not None
    kinds = [event["type"] for event in subject.events()]
    assert kinds == [b"queued", b"queued", b"running", b"running"]


async def test_it_takes_no_more_than_asked_for_and_says_how_far_it_looked(store: Store) -> None:
    jobs = [new() for _ in range(4)]
    await submit(store, *jobs)
    await store.cancel(jobs[0].id, "")
    picked = await pick(store, *jobs, count=2)
    assert ids(picked.jobs) == [jobs[1].id, jobs[2].id]
    assert picked.looked == 3


async def test_what_is_not_queued_is_left_alone(store: Store, subject: Subject) -> None:
    elsewhere, over, later = new(), new(), new(delay=5_000)
    await submit(store, over, elsewhere, later)
    await store.settle("w2", [outcome(await claim_one(store, "w2"))])
    assert (await claim_one(store, "w2")).id == elsewhere.id
    picked = await store.pick(
        "w1", "work", 10, [over.id, elsewhere.id, later.id, new_job_id("work"), "no id"]
    )
    assert (picked.jobs, picked.looked) == ([], 5)
    assert list(picked.later) == [later.id]
    assert 4_900 <= picked.later[later.id] <= 5_000
    subject.advance(5_000)
    await store.stage(["work"])
    assert (await pick_one(store, later)).id == later.id
    assert (await record_of(store, elsewhere.id)).worker == "w2"


async def test_what_the_worker_has_already_is_given_again(store: Store) -> None:
    job = new(priority=1)
    await submit(store, job)
    first = await pick_one(store, job)
    again = await pick_one(store, job)
    assert (again.id, again.delivery, again.attempt) == (first.id, 1, 1)
    assert (again.arguments, again.priority) == (first.arguments, 1)
    assert (await pick(store, job, worker="w2")).jobs == []
    await store.settle("w1", [outcome(first, Ending.RELEASE)])
    assert (await pick_one(store, job)).delivery == 2


async def test_no_claim_finds_it_and_the_lane_of_picked_jobs_is_no_lane_to_claim(
    store: Store,
) -> None:
    jobs = [new() for _ in range(3)]
    await submit(store, *jobs)
    await pick(store, jobs[2])
    assert ids(await claim(store, "w2", 10)) == ids(jobs[:2])
    assert await claim(store, "w2", 10) == []
    await submit(store, *(new(priority=9) for _ in range(20)), *(new() for _ in range(5)))
    one_by_one = [job.priority for _ in range(10) for job in await claim(store, count=1)]
    assert one_by_one.count(0) == 2, "the share of the lowest lane is that of one with jobs"


async def test_it_is_recovered_renewed_rescued_and_fenced_as_any_other(
    store: Store, subject: Subject
) -> None:
    job = new()
    await submit(store, new(), job)
    picked = await pick_one(store, job)
    assert ids((await store.recover("w1", ["work"], [])).jobs) == [job.id]
    subject.advance(LEASE - 1)
    assert await store.renew("w1", [held(picked)]) == []
    subject.advance(LEASE - 1)
    assert (await rescue(store, LEASE)).requeued == [], "its lease was renewed"
    subject.advance(1)
    assert (await rescue(store, LEASE)).requeued == [job.id]
    [revoked] = await store.renew("w1", [held(picked)])
    assert revoked.lost
    assert await store.settle("w1", [outcome(picked)]) == [Settled.STALE]
    again = await pick_one(store, job, "w2")
    assert (again.attempt, again.delivery, again.rescues) == (1, 2, 1)
    assert await store.settle("w2", [outcome(again)]) == [Settled.APPLIED]
    assert (await record_of(store, job.id)).status is JobStatus.COMPLETE
    assert subject.in_lanes() == 1


@pytest.mark.parametrize("ending", list(Ending))
async def test_however_it_ends_nothing_of_it_stays(
    store: Store, subject: Subject, ending: Ending
) -> None:
    job = new()
    await submit(store, job)
    picked = await pick_one(store, job)
    assert await store.settle("w1", [outcome(picked, ending)]) == [Settled.APPLIED]
    waits = ending in (Ending.RETRY, Ending.SNOOZE, Ending.RELEASE)
    assert subject.in_lanes() == waits
    assert ids(await claim(store, "w2")) == ([job.id] if waits else [])


async def test_a_worker_that_signs_off_leaves_it_to_others(store: Store, subject: Subject) -> None:
    job = new()
    await submit(store, job)
    await pick_one(store, job)
    assert await store.retire("w1", ["work"]) == 1
    assert subject.in_lanes() == 1
    assert ids(await claim(store, "w2")) == [job.id]


async def test_a_cancelled_one_is_cancelled_through_its_worker(store: Store) -> None:
    heard = await ear(store, "w1")
    job = new()
    await submit(store, job)
    await pick_one(store, job)
    await store.cancel(job.id, "no more")
    await store.now()
    assert heard == [f"cancel {job.id} 1 no more".encode()]


async def test_a_job_past_its_deadline_expires(store: Store, subject: Subject) -> None:
    late, keyed = new(budget=1_000), of("a", budget=1_000)
    await submit(store, late, keyed)
    subject.advance(1_000)
    assert (await pick(store, late, keyed)).jobs == []
    for job in (late, keyed):
        assert (await record_of(store, job.id)).status is JobStatus.EXPIRED
    assert subject.in_lanes() == 0
    assert await claim(store, count=5) == []


async def test_of_a_paused_function_nothing_is_taken(store: Store, subject: Subject) -> None:
    job = new()
    await submit(store, job)
    await store.pause(["work"])
    assert await pick(store, job) == Picked([], subject.now, 1, {})
    await store.resume(["work"])
    await store.pause(["work"], subject.now + 60_000)
    later = (await pick(store, job)).later[job.id]
    assert 59_900 <= later <= 60_000
    subject.advance(60_000)
    assert ids((await pick(store, job)).jobs) == [job.id]


async def test_no_more_run_at_once_than_max_concurrency(store: Store) -> None:
    await limit(store, max_concurrency=2)
    jobs = [new() for _ in range(4)]
    await submit(store, *jobs)
    first = await claim_one(store, "w2")
    picked = await pick(store, *reversed(jobs))
    assert (ids(picked.jobs), picked.looked) == ([jobs[3].id], 4)
    assert await claim(store, "w2", 10) == [], "it counts as those that were claimed"
    await store.settle("w2", [outcome(first)])
    assert ids((await pick(store, *jobs[:3])).jobs) == [jobs[1].id]
    heard = await ear(store, "w3")
    assert await claim(store, "w3") == []
    await store.settle("w1", [outcome(picked.jobs[0])])
    await store.now()
    assert len(heard) == 1, "its end makes room"


async def test_a_rate_holds_and_says_when(store: Store, subject: Subject) -> None:
    await limit(store, rate=(2, 10))
    jobs = [new() for _ in range(4)]
    await submit(store, *jobs)
    await claim_one(store, "w2")
    picked = await pick(store, *jobs[1:])
    assert ids(picked.jobs) == [jobs[1].id]
    assert set(picked.later) == {jobs[2].id, jobs[3].id}
    wait = picked.later[jobs[3].id]
    assert 4_900 <= wait <= 5_000
    subject.advance(wait)
    assert ids((await pick(store, jobs[3])).jobs) == [jobs[3].id]
    assert await claim(store, "w2") == []


async def test_limits_of_keys_hold(store: Store) -> None:
    await limit(store, max_concurrency=1, concurrency_key="tenant")
    jobs = [of("a"), of("a"), of("b"), of("b"), new()]
    await submit(store, *jobs)
    picked = (await pick(store, jobs[1], jobs[0], jobs[2], jobs[4])).jobs
    assert ids(picked) == [jobs[1].id, jobs[2].id, jobs[4].id]
    assert await claim(store, "w2", 10) == []
    await store.settle("w1", [outcome(picked[0])])
    assert ids(await claim(store, "w2", 10)) == [jobs[0].id]
    await store.settle("w1", [outcome(picked[1], Ending.RELEASE)])
    assert len(await claim(store, "w2", 10)) == 1


async def test_rates_of_keys_hold(store: Store, subject: Subject) -> None:
    await limit(store, rate=(1, 10), rate_limit_key="tenant")
    jobs = [of("a"), of("a"), of("b")]
    await submit(store, *jobs)
    picked = await pick(store, *jobs)
    assert ids(picked.jobs) == [jobs[0].id, jobs[2].id]
    assert list(picked.later) == [jobs[1].id]
    assert await claim(store, "w2", 10) == []
    subject.advance(picked.later[jobs[1].id])
    assert ids((await pick(store, *jobs, worker="w2")).jobs) == [jobs[1].id]
    await submit(store, of("b"))
    assert len(await claim(store, "w2", 10)) == 1, "nothing is left of the keys' order"


async def test_the_last_of_its_keys_leaves_nothing_behind(store: Store, subject: Subject) -> None:
    await limit(store, max_concurrency=1, concurrency_key="tenant")
    first, second = of("a"), of("a")
    await submit(store, first, second)
    running = await pick_one(store, first)
    assert await claim(store, "w2", 10) == []  # the key is held back
    await store.cancel(second.id, "")
    await store.settle("w1", [outcome(running)])
    third = of("a")
    await submit(store, third)
    assert ids(await claim(store, "w2", 10)) == [third.id]
    assert subject.in_lanes() == 1


async def test_jobs_that_were_lost_together_are_kept_apart(store: Store, subject: Subject) -> None:
    jobs = [new() for _ in range(2)]
    await submit(store, *jobs)
    for n in range(2):
        await pick(store, *jobs, worker=f"dead{n}")
        subject.advance(LEASE)
        assert len((await rescue(store, LEASE)).requeued) == 2
    picked = await pick(store, *jobs)
    assert ids(picked.jobs) == [jobs[0].id]
    assert list(picked.later) == [jobs[1].id]
    assert (await record_of(store, jobs[1].id)).status is JobStatus.SCHEDULED
    assert subject.in_lanes() == 1


async def test_a_damaged_job_is_left_for_its_turn_and_holds_up_no_other(
    server: ServerSubject,
) -> None:
    store, client = server.store, server.client
    broken, gone, good, keyed = new(), new(), new(), of("a")
    await submit(store, broken, gone, good, keyed)
    client.hdel(KEYS.job(broken.id), "arguments")
    client.delete(KEYS.job(gone.id))
    client.set(KEYS.job(gone.id), "no hash")
    client.set(KEYS.function("work") + "lane:*", "no stream")
    assert ids((await pick(store, broken, gone, keyed, good)).jobs) == [good.id]
    client.delete(KEYS.function("work") + "lane:*")
    assert ids((await pick(store, keyed)).jobs) == [keyed.id]
    assert await claim(store, "w2", 10) == []
    assert client.xlen(KEYS.function("work") + "strange") == 2


async def test_it_takes_jobs_after_the_group_of_its_lane_was_lost(server: ServerSubject) -> None:
    jobs = [new() for _ in range(2)]
    await submit(server.store, *jobs)
    first = await pick_one(server.store, jobs[0])
    await server.store.settle("w1", [outcome(first)])
    server.client.delete(KEYS.function("work") + "lane:+")
    await pick_one(server.store, jobs[1])
    assert server.in_lanes() == 1
    server.advance(LEASE)
    assert (await rescue(server.store, LEASE)).requeued == [jobs[1].id]
