"""What a claim promises."""

from __future__ import annotations

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
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store


async def test_a_claimed_job_runs(store: Store, subject: Subject) -> None:
    job = new()
    await submit(store, job)
    await claim_one(store, "w1")
    record = await record_of(store, job.id)
    assert (record.status, record.worker) == (JobStatus.RUNNING, "w1")
    assert (record.attempt, record.delivery) == (1, 1)
    assert record.claimed_at is not None
    assert abs(record.claimed_at - subject.now) < 100


async def test_no_job_is_claimed_twice(store: Store) -> None:
    await submit(store, *(new() for _ in range(10)))
    first = await claim(store, "w1", 6)
    second = await claim(store, "w2", 6)
    assert len({job.id for job in first + second}) == 10
    assert await claim(store, "w3", 6) == []


async def test_one_claim_takes_of_several_functions(store: Store) -> None:
    await submit(store, *(new("a") for _ in range(3)), *(new("b") for _ in range(2)))
    claimed = await store.claim("w1", [("a", 2), ("none", 5), ("b", 2)])
    assert [job.function for job in claimed.jobs] == ["a", "a", "b", "b"]
    assert claimed.more == ["a", "b"], "those that filled their share"


async def test_all_that_a_claim_takes_is_in_its_answer(store: Store, subject: Subject) -> None:
    names = [f"work{n}" for n in range(20)]
    await submit(store, *(new(name) for name in names for _ in range(10)))
    told = {job.id for job in (await store.claim("w1", [(name, 3) for name in names])).jobs}
    assert len(told) == 60
    subject.advance(60_000)
    lost = await store.rescue("other", names, 3_000, await store.now())
    assert set(lost.requeued) == told, "nothing else is held by anybody"


async def test_a_claim_says_what_time_it_is(store: Store, subject: Subject) -> None:
    claimed = await store.claim("w1", [("work", 1)])
    assert abs(claimed.now - subject.now) < 100


async def test_a_job_past_its_deadline_expires(store: Store, subject: Subject) -> None:
    late, good = new(budget=1_000, key="k"), new()
    await submit(store, late, good)
    subject.advance(1_000)
    assert [job.id for job in await claim(store, count=1)] == [good.id]
    record = await record_of(store, late.id)
    assert (record.status, record.attempt) == (JobStatus.EXPIRED, 0)
    assert "deadline" in record.reason
    assert subject.lives_for(late.id) is not None
    await submit(store, new(key="k"))


async def test_a_job_just_before_its_deadline_is_claimed(store: Store, subject: Subject) -> None:
    await submit(store, new(budget=10_000))
    subject.advance(9_000)
    assert len(await claim(store)) == 1


async def test_a_scheduled_job_expires_once_it_is_claimed(store: Store, subject: Subject) -> None:
    job = new(delay=2_000, budget=1_000)
    await submit(store, job)
    subject.advance(2_000)
    await store.stage(["work"])
    assert await claim(store) == []
    assert (await record_of(store, job.id)).status is JobStatus.EXPIRED


async def test_many_expired_jobs_do_not_make_a_claim_endless(
    store: Store, subject: Subject
) -> None:
    good = new()
    await submit(store, *(new(budget=1_000) for _ in range(2_100)), good)
    subject.advance(1_000)
    calls, found = 0, []
    while not found:
        claimed = await store.claim("w1", [("work", 1)])
        found, calls = claimed.jobs, calls + 1
        assert claimed.more == ["work"], "come again at once: more waits"
    assert [job.id for job in found] == [good.id]
    assert calls == 3, "a claim looks at no more than 1,000 jobs besides those it wants"
    assert subject.in_lanes() == 1


async def test_a_job_cancelled_while_it_waits_is_not_claimed(
    store: Store, subject: Subject
) -> None:
    gone, good = new(), new()
    await submit(store, gone, good)
    await store.cancel(gone.id, "no more")
    assert [job.id for job in await claim(store, count=5)] == [good.id]
    assert subject.in_lanes() == 1


async def test_the_delivery_never_falls(store: Store, subject: Subject) -> None:
    await submit(store, new())
    seen: list[tuple[int, int]] = []
    for ending in (Ending.RETRY, Ending.SNOOZE, Ending.RELEASE):
        job = await claim_one(store)
        seen.append((job.attempt, job.delivery))
        await store.settle("w1", [outcome(job, ending)])
    job = await claim_one(store)
    seen.append((job.attempt, job.delivery))
    subject.advance(1_000)
    assert (await rescue(store, 1_000)).requeued == [job.id]
    job = await claim_one(store)
    seen.append((job.attempt, job.delivery))
    assert seen == [(1, 1), (2, 2), (2, 3), (2, 4), (2, 5)]


async def test_higher_priorities_go_first(store: Store) -> None:
    jobs = {p: new(priority=p) for p in (0, -9, 9, 3, -1)}
    await submit(store, *jobs.values())
    order = [job.priority for _ in jobs for job in await claim(store, count=1)]
    # The fifth job asked for comes from the lowest lane, which is the only one left.
    assert order == [9, 3, 0, -1, -9]


async def test_one_job_in_five_comes_from_the_lowest_lane_up(store: Store) -> None:
    await submit(store, *(new(priority=9) for _ in range(20)))
    await submit(store, *(new(priority=-9) for _ in range(5)))
    one_by_one = [job.priority for _ in range(10) for job in await claim(store, count=1)]
    assert one_by_one == [9, 9, 9, 9, -9] * 2
    at_once = [job.priority for job in await claim(store, count=10)]
    assert sorted(at_once) == [-9] * 2 + [9] * 8


async def test_the_share_of_the_lowest_lane_goes_up_when_it_is_empty(store: Store) -> None:
    await submit(store, new(priority=-9))
    await claim_one(store)
    await submit(store, *(new(priority=p) for p in (9, 9, 9, 9, 9, 1)))
    order = [job.priority for _ in range(6) for job in await claim(store, count=1)]
    assert order == [9, 9, 9, 9, 1, 9]


async def test_a_handed_back_job_is_first_of_its_priority_only(store: Store) -> None:
    back = new()
    await submit(store, back)
    job = await claim_one(store)
    above, equal = new(priority=1), new()
    await submit(store, equal, above)
    await store.settle("w1", [outcome(job, Ending.RELEASE)])
    assert [job.id for job in await claim(store, count=3)] == [above.id, back.id, equal.id]


async def test_a_hungry_worker_is_told_of_work_once(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await store.claim("w1", [("work", 3)])
    await submit(store, new(), new())
    await submit(store, new())
    await store.now()
    assert heard == [b"work " + KEYS.function("work").encode()]
    assert len(await claim(store, "w1", 5)) == 3


async def test_a_worker_that_got_all_it_wanted_is_not_told(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await submit(store, new())
    assert len(await claim(store, "w1", 1)) == 1
    await submit(store, new())
    await store.now()
    assert heard == []


async def test_dead_listeners_are_passed_over(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("alive"), heard.append, lambda: None).ready()
    for worker in ("dead1", "alive", "dead2", "dead3"):
        await store.claim(worker, [("work", 1)])
    await submit(store, new())
    await store.now()
    assert len(heard) == 1


async def test_a_full_share_passes_the_wake_on(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w2"), heard.append, lambda: None).ready()
    await store.claim("w1", [("work", 1)])
    await submit(store, new(), new())  # nobody hears: w1 is gone
    await store.claim("w2", [("work", 3)])
    await submit(store, new(), new())
    await store.now()
    assert len(heard) == 1
    await store.claim("w2", [("work", 5)])
    await store.claim("w3", [("work", 0)])
    await store.now()
    assert len(heard) == 2, "a worker without a free slot may hand its wake on by wanting nothing"


async def test_hunger_is_forgotten(store: Store, subject: Subject) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await store.claim("w1", [("work", 1)])
    subject.advance(15 * 60_000 + 1_000)
    await submit(store, new())
    await store.now()
    assert heard == []
