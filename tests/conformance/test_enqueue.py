"""What a submit promises."""

from __future__ import annotations

import pytest

from tests.conformance.subject import Subject, claim, claim_one, new, outcome, record_of, submit
from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.job import Enqueued
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store

GONE = "work-" + "a" * 32
"""A job whose record is gone: perhaps jobs below it are not."""


async def test_a_job_waits_until_it_is_claimed(store: Store) -> None:
    job = new(
        arguments=b'{"n":9007199254740993,"empty":[],"text":"\xc3\xa9\xe2\x82\xac"}', priority=2
    )
    assert await store.enqueue([job]) == [Enqueued(job.id, True)]
    record = await record_of(store, job.id)
    assert record.status is JobStatus.QUEUED
    claimed = await claim_one(store)
    assert (claimed.id, claimed.function, claimed.priority) == (job.id, "work", 2)
    assert claimed.arguments == job.arguments, "arguments are opaque bytes"
    assert (claimed.attempt, claimed.delivery, claimed.rescues) == (1, 1, 0)


async def test_arguments_and_source_may_be_any_bytes(store: Store) -> None:
    job = new(arguments=bytes(range(256)), source=b"\x00\xff\r\n")
    await submit(store, job)
    claimed = await claim_one(store)
    assert (claimed.arguments, claimed.source) == (job.arguments, job.source)


async def test_all_fields_arrive(store: Store, subject: Subject) -> None:
    deadline = subject.now + 60_000
    job = new(
        key="k", parent_id="work-p", root_id="work-r", source=b'{"cron":1}', deadline=deadline
    )
    await submit(store, job)
    claimed = await claim_one(store)
    assert (claimed.key, claimed.parent_id, claimed.root_id) == ("k", "work-p", "work-r")
    assert (claimed.source, claimed.deadline) == (b'{"cron":1}', deadline)
    assert abs(claimed.created_at - subject.now) < 100
    assert abs(claimed.claimed_at - subject.now) < 100


async def test_jobs_are_claimed_in_the_order_of_their_submits(store: Store) -> None:
    jobs = [new() for _ in range(5)]
    await submit(store, *jobs)
    assert [job.id for job in await claim(store, count=9)] == [job.id for job in jobs]


async def test_one_call_may_carry_several_functions_and_many_jobs(store: Store) -> None:
    jobs = [new("a") for _ in range(300)] + [new("b")] + [new("a")]
    answers = await store.enqueue(jobs)
    assert answers == [Enqueued(job.id, True) for job in jobs]
    assert len(await claim(store, count=400, name="a")) == 301
    assert len(await claim(store, count=400, name="b")) == 1


async def test_sending_a_submit_again_changes_nothing(store: Store, subject: Subject) -> None:
    job = new(key="k")
    await submit(store, job)
    await submit(store, job)
    assert len(await claim(store, count=9)) == 1
    assert len(subject.events()) == 2, "queued and running"


async def test_sending_a_submit_again_after_the_end_changes_nothing(store: Store) -> None:
    job = new()
    await submit(store, job)
    await store.settle("w1", [outcome(await claim_one(store), result=b"1")])
    await submit(store, job)
    assert (await record_of(store, job.id)).status is JobStatus.COMPLETE
    assert await claim(store) == []


async def test_nothing_submitted_is_no_error(store: Store) -> None:
    assert await store.enqueue([]) == []


async def test_a_delayed_job_is_scheduled(store: Store, subject: Subject) -> None:
    job = new(delay=5_000)
    await submit(store, job)
    record = await record_of(store, job.id)
    assert record.status is JobStatus.SCHEDULED
    assert record.due_at == record.created_at + 5_000
    assert await claim(store) == []


async def test_a_job_for_a_time_to_come_is_scheduled(store: Store, subject: Subject) -> None:
    at = subject.now + 5_000
    job = new(at=at)
    await submit(store, job)
    record = await record_of(store, job.id)
    assert (record.status, record.due_at) == (JobStatus.SCHEDULED, at)


@pytest.mark.parametrize("when", [{"delay": 0}, {"delay": -1}, {"at": 1}])
async def test_a_job_that_is_due_already_is_queued(store: Store, when: dict[str, int]) -> None:
    job = new(**when)
    await submit(store, job)
    assert (await claim_one(store)).id == job.id


async def test_the_earlier_of_deadline_and_budget_counts(store: Store, subject: Subject) -> None:
    far, near = subject.now + 90_000, subject.now + 1_000
    by_budget, by_deadline = new(deadline=far, budget=2_000), new(deadline=near, budget=50_000)
    await submit(store, by_budget, by_deadline)
    record = await record_of(store, by_budget.id)
    assert record.deadline == record.created_at + 2_000
    assert (await record_of(store, by_deadline.id)).deadline == near


async def test_a_key_stands_for_one_unfinished_job(store: Store) -> None:
    first, second = new(key="order 7 \xe9"), new(key="order 7 \xe9")
    await submit(store, first)
    assert await store.enqueue([second]) == [Enqueued(first.id, False)]
    job = await claim_one(store)
    assert await store.enqueue([second]) == [Enqueued(first.id, False)]
    assert await store.lookup(second.id) is None
    await store.settle("w1", [outcome(job)])
    assert await store.enqueue([second]) == [Enqueued(second.id, True)]


async def test_a_key_holds_within_one_call(store: Store) -> None:
    first, second = new(key="k"), new(key="k")
    answers = await store.enqueue([first, second])
    assert answers == [Enqueued(first.id, True), Enqueued(first.id, False)]


async def test_keys_of_two_functions_do_not_meet(store: Store) -> None:
    await submit(store, new("a", key="k"), new("b", key="k"))


async def test_a_key_is_kept_through_retries(store: Store) -> None:
    first = new(key="k")
    await submit(store, first)
    await store.settle("w1", [outcome(await claim_one(store), Ending.RETRY, delay=100)])
    assert await store.enqueue([new(key="k")]) == [Enqueued(first.id, False)]


@pytest.mark.parametrize(
    "ending", [Ending.COMPLETE, Ending.FAILED, Ending.CANCELLED, Ending.EXPIRED]
)
async def test_every_end_releases_the_key(store: Store, ending: Ending) -> None:
    await submit(store, new(key="k"))
    await store.settle("w1", [outcome(await claim_one(store), ending)])
    await submit(store, new(key="k"))


async def test_a_full_queue_refuses_and_drops_nothing(subject: Subject) -> None:
    store = subject.rebind(most_waiting=3)
    jobs = [new(), new(delay=1_000), new(), new(), new()]
    answers = await store.enqueue(jobs)
    assert [type(answer) for answer in answers] == [Enqueued] * 3 + [QueueFullError] * 2
    refusal = answers[3]
    assert isinstance(refusal, QueueFullError)
    assert refusal.job_id == jobs[3].id
    assert await store.lookup(jobs[3].id) is None
    assert isinstance((await store.enqueue([new()]))[0], QueueFullError)
    assert len(await claim(store, count=9)) == 2
    # Claimed jobs do not wait.
    await submit(store, new(), new())
    assert isinstance((await store.enqueue([new()]))[0], QueueFullError)


async def test_a_full_queue_still_names_the_holder_of_a_key(subject: Subject) -> None:
    store = subject.rebind(most_waiting=1)
    first = new(key="k")
    await submit(store, first)
    assert await store.enqueue([new(key="k")]) == [Enqueued(first.id, False)]


async def test_a_cancelled_tree_refuses_children_and_says_so(store: Store) -> None:
    await store.declare({"work": b"{}"})
    root = new()
    await submit(store, root)
    await claim_one(store)
    await store.cancel_trees([root.id], "enough")
    child = new(parent_id=root.id, root_id=root.id)
    [answer] = await store.enqueue([child])
    assert isinstance(answer, JobRefusedError)
    assert not isinstance(answer, QueueFullError)
    assert await store.lookup(child.id) is None
    await submit(store, new(parent_id="work-other", root_id="work-other"))


async def test_a_refused_child_joins_no_other_job(store: Store, subject: Subject) -> None:
    await store.declare({"work": b"{}"})
    heard: list[bytes] = []
    await store.subscribe("ch", heard.append, lambda: None).ready()
    await submit(store, new(key="k"))
    await store.cancel_trees([GONE], "enough")
    child = new(key="k", parent_id=GONE, root_id=GONE, waiter="ch")
    [answer] = await store.enqueue([child])
    assert isinstance(answer, JobRefusedError)
    await store.settle("w1", [outcome(await claim_one(store))])
    await store.now()
    assert heard == []


async def test_a_cancelled_tree_is_forgotten_after_a_day(store: Store, subject: Subject) -> None:
    await store.declare({"work": b"{}"})
    await store.cancel_trees([GONE], "enough")
    subject.advance(24 * 3_600_000 + 1_000)
    await submit(store, new(parent_id=GONE, root_id=GONE))
