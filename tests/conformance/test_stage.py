"""What waiting for a time promises."""

from __future__ import annotations

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
from upnext.model.job import Staged
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store


async def test_due_jobs_are_moved_in_the_order_they_are_due(store: Store, subject: Subject) -> None:
    late, early, later = new(delay=3_000), new(delay=2_000), new(delay=60_000)
    await submit(store, late, early, later)
    subject.advance(3_000)
    [staged] = await store.stage(["work"])
    assert (staged.function, staged.moved) == ("work", 2)
    assert staged.next_due_in is not None
    assert abs(staged.next_due_in - 57_000) < 100
    assert [job.id for job in await claim(store, count=5)] == [early.id, late.id]
    assert (await record_of(store, later.id)).status is JobStatus.SCHEDULED


async def test_nothing_is_moved_early(store: Store, subject: Subject) -> None:
    await submit(store, new(delay=10_000))
    subject.advance(9_000)
    [staged] = await store.stage(["work"])
    assert staged.moved == 0
    assert staged.next_due_in is not None
    assert 900 <= staged.next_due_in <= 1_000
    assert await claim(store) == []
    subject.advance(1_000)
    assert await store.stage(["work"]) == [Staged("work", 1, None)]


async def test_an_empty_schedule_says_so(store: Store) -> None:
    staged = await store.stage(["a", "b"])
    assert staged == [Staged("a", 0, None), Staged("b", 0, None)]


async def test_a_staged_job_goes_behind_those_that_wait(store: Store, subject: Subject) -> None:
    delayed, waiting = new(delay=1_000), new()
    await submit(store, delayed)
    subject.advance(1_000)
    await submit(store, waiting)
    await store.stage(["work"])
    assert [job.id for job in await claim(store, count=2)] == [waiting.id, delayed.id]


async def test_one_call_moves_a_bounded_number(store: Store, subject: Subject) -> None:
    await submit(store, *(new(delay=1_000) for _ in range(750)))
    subject.advance(1_000)
    assert await store.stage(["work"]) == [Staged("work", 500, 0)]
    assert await store.stage(["work"]) == [Staged("work", 250, None)]
    assert len(await claim(store, count=1_000)) == 750


async def test_a_cancelled_job_is_not_moved(store: Store, subject: Subject) -> None:
    job = new(delay=1_000)
    await submit(store, job)
    await store.cancel(job.id, "no")
    subject.advance(1_000)
    assert await store.stage(["work"]) == [Staged("work", 0, None)]


async def test_moving_wakes_a_hungry_worker(store: Store, subject: Subject) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("w1"), heard.append, lambda: None).ready()
    await submit(store, new(delay=1_000))
    await store.claim("w1", [("work", 1)])
    subject.advance(1_000)
    assert heard == []
    await store.stage(["work"])
    await store.now()
    assert len(heard) == 1


async def test_stagers_hear_of_an_earlier_job_only(store: Store, subject: Subject) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.due_channel("work"), heard.append, lambda: None).ready()
    start = subject.now
    await submit(store, new(at=start + 9_000))
    await submit(store, new(at=start + 20_000))
    await submit(store, new(at=start + 5_000))
    await store.now()
    assert heard == [str(start + 9_000).encode(), str(start + 5_000).encode()]


async def test_stagers_hear_of_a_retry(store: Store, subject: Subject) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.due_channel("work"), heard.append, lambda: None).ready()
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.RETRY, delay=1_000)])
    await store.now()
    assert heard == [str((await record_of(store, job.id)).due_at).encode()]
