"""What each kind of deduplication promises. The idempotency key is in test_enqueue.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.dedupe import Dedupe, DedupeKind
from upnext.model.job import Enqueued, NewJob
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store

ENDS = pytest.mark.parametrize(
    "ending", [Ending.COMPLETE, Ending.FAILED, Ending.CANCELLED, Ending.EXPIRED]
)


def unique(key: str = "k: é", window: int = 5_000, **fields: Any) -> NewJob:
    return new(dedupe=Dedupe(DedupeKind.UNIQUE, key, window), **fields)


def debounced(
    n: int = 0, key: str = "", window: int = 5_000, most: int | None = None, **fields: Any
) -> NewJob:
    dedupe = Dedupe(DedupeKind.DEBOUNCE, key, window, most)
    return new(dedupe=dedupe, arguments=str(n).encode(), **fields)


def rerun(n: int = 0, key: str = "k", **fields: Any) -> NewJob:
    return new(dedupe=Dedupe(DedupeKind.RERUN, key), arguments=str(n).encode(), **fields)


async def joins(store: Store, job: NewJob, other: NewJob) -> None:
    """A submit gives another job."""
    assert await store.enqueue([job]) == [Enqueued(other.id, False)]
    assert await store.lookup(job.id) is None


# Unique for a period.


async def test_a_job_is_unique_for_its_period_and_no_longer(store: Store, subject: Subject) -> None:
    first = unique()
    await submit(store, first)
    await joins(store, unique(), first)
    subject.advance(4_000)
    await joins(store, unique(), first)
    subject.advance(1_100)
    await submit(store, unique())


async def test_a_period_outlives_the_job_that_is_complete(store: Store, subject: Subject) -> None:
    first = unique()
    await submit(store, first)
    await store.settle("w1", [outcome(await claim_one(store), result=b"7")])
    await joins(store, unique(), first)
    assert (await record_of(store, first.id)).result == b"7"


async def test_a_period_outlives_even_the_record(subject: Subject) -> None:
    store = subject.rebind(record_ttl=1_000)
    first = unique(window=10_000)
    await submit(store, first)
    await store.settle("w1", [outcome(await claim_one(store))])
    subject.advance(2_000)
    await joins(store, unique(), first)
    assert await store.lookup(first.id) is None


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.CANCELLED, Ending.EXPIRED])
async def test_a_unique_job_that_is_not_complete_may_be_submitted_again(
    store: Store, ending: Ending
) -> None:
    first = unique()
    await submit(store, first)
    await store.settle("w1", [outcome(await claim_one(store), Ending.RETRY)])
    await joins(store, unique(), first)
    await store.settle("w1", [outcome(await claim_one(store), ending)])
    await submit(store, unique())


async def test_unique_keys_are_apart_by_key_and_by_kind(store: Store) -> None:
    await submit(store, unique("a"), unique("b"), debounced(key="a"), rerun(key="a"), new(key="a"))


async def test_who_joins_a_unique_job_is_told_of_its_end(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe("ch", heard.append, lambda: None).ready()
    await submit(store, unique())
    [answer] = await store.enqueue([unique(waiter="ch")])
    await store.settle("w1", [outcome(await claim_one(store))])
    await store.now()
    assert [json.loads(notice)["id"] for notice in heard] == [getattr(answer, "id", None)]


# Debounce.


async def test_the_last_of_a_burst_runs_once_when_it_is_quiet(
    store: Store, subject: Subject
) -> None:
    first = debounced(1)
    await submit(store, first)
    for n in (2, 3):
        subject.advance(4_000)
        await joins(store, debounced(n), first)
    subject.advance(4_000)
    assert (await store.stage(["work"]))[0].moved == 0, "the last one was 4 s ago"
    subject.advance(1_100)
    assert (await store.stage(["work"]))[0].moved == 1
    job = await claim_one(store)
    assert (job.id, job.arguments) == (first.id, b"3")
    assert (await record_of(store, first.id)).arguments == b"3"


async def test_a_debounced_job_waits_no_longer_than_allowed(store: Store, subject: Subject) -> None:
    first = debounced(0, most=12_000)
    await submit(store, first)
    for n in range(1, 4):
        subject.advance(4_000 - 5)
        await joins(store, debounced(n, most=12_000), first)
    record = await record_of(store, first.id)
    assert record.due_at == record.created_at + 12_000
    subject.advance(50)
    assert (await store.stage(["work"]))[0].moved == 1
    assert (await claim_one(store)).arguments == b"3"


async def test_a_shorter_window_brings_the_job_forward_and_tells_stagers(
    store: Store, subject: Subject
) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.due_channel("work"), heard.append, lambda: None).ready()
    first = debounced(1, window=60_000)
    await submit(store, first)
    await joins(store, debounced(2, window=1_000), first)
    await joins(store, debounced(3, window=30_000), first)
    await store.now()
    assert len(heard) == 2, "putting it off needs no stager"
    record = await record_of(store, first.id)
    assert record.due_at is not None
    assert 30_000 <= record.due_at - record.created_at < 31_000


async def test_after_its_window_a_debounced_job_takes_nothing_more(
    store: Store, subject: Subject
) -> None:
    await submit(store, debounced(1))
    subject.advance(5_100)
    await store.stage(["work"])
    second = debounced(2)
    await submit(store, second)
    assert (await claim_one(store)).arguments == b"1"
    await joins(store, debounced(3), second)


async def test_a_retry_of_a_debounced_job_keeps_its_arguments(
    store: Store, subject: Subject
) -> None:
    await submit(store, debounced(1))
    subject.advance(5_100)
    await store.stage(["work"])
    await store.settle("w1", [outcome(await claim_one(store), Ending.RETRY, delay=60_000)])
    await submit(store, debounced(2))


async def test_a_cancelled_debounced_job_gives_its_key_up(store: Store) -> None:
    first = debounced(1)
    await submit(store, first)
    await store.cancel(first.id, "no more")
    await submit(store, debounced(2))


async def test_the_newest_deadline_counts_with_the_newest_arguments(
    store: Store, subject: Subject
) -> None:
    first = debounced(1, budget=6_000)
    await submit(store, first)
    assert (await record_of(store, first.id)).deadline is not None
    await joins(store, debounced(2), first)
    assert (await record_of(store, first.id)).deadline is None
    subject.advance(1_000)
    await joins(store, debounced(3, budget=60_000), first)
    record = await record_of(store, first.id)
    assert record.deadline is not None
    assert record.deadline >= record.created_at + 61_000


async def test_history_hears_of_replaced_arguments(store: Store, subject: Subject) -> None:
    first = debounced(1)
    await submit(store, first)
    await store.enqueue([debounced(2)])
    events = subject.events()
    assert [event["type"] for event in events] == [b"scheduled", b"replaced"]
    assert (events[1]["id"], events[1]["arguments"]) == (first.id.encode(), b"2")


# Run once more.


async def test_one_runs_and_one_waits(store: Store) -> None:
    first, second = rerun(1), rerun(2)
    await submit(store, first)
    running = await claim_one(store)
    await submit(store, second)
    for n in (3, 4):
        await joins(store, rerun(n), second)
    assert await claim(store, count=9) == [], "the second one waits for the first one's end"
    assert (await record_of(store, second.id)).status is JobStatus.SCHEDULED
    await store.settle("w1", [outcome(running)])
    job = await claim_one(store)
    assert (job.id, job.arguments) == (second.id, b"4")
    third = rerun(5)
    await submit(store, third)
    await store.settle("w1", [outcome(job)])
    assert (await claim_one(store)).id == third.id


async def test_a_submit_joins_one_that_has_not_started(store: Store) -> None:
    first = rerun(1)
    await submit(store, first)
    await joins(store, rerun(2), first)
    assert (await claim_one(store)).arguments == b"2"
    assert await claim(store, count=9) == []


@ENDS
async def test_every_end_lets_the_next_one_start(store: Store, ending: Ending) -> None:
    second = rerun(2)
    await submit(store, rerun(1))
    running = await claim_one(store)
    await submit(store, second)
    await store.settle("w1", [outcome(running, ending, dead_letter=True)])
    assert (await claim_one(store)).id == second.id
    await store.settle("w1", [outcome(running, ending)])


@pytest.mark.parametrize("ending", [Ending.RETRY, Ending.SNOOZE, Ending.RELEASE])
async def test_no_pause_of_the_first_lets_the_next_one_start(
    store: Store, subject: Subject, ending: Ending
) -> None:
    first, second = rerun(1), rerun(2)
    await submit(store, first)
    running = await claim_one(store)
    await submit(store, second)
    delay = 0 if ending is Ending.RELEASE else 1_000
    await store.settle("w1", [outcome(running, ending, delay=delay)])
    await joins(store, rerun(3), second)
    subject.advance(1_100)
    await store.stage(["work"])
    again = await claim_one(store)
    assert (again.id, again.arguments) == (first.id, b"1"), "it had started: its own arguments"
    assert await claim(store) == []
    await store.settle("w1", [outcome(again)])
    assert (await claim_one(store)).arguments == b"3"


async def test_a_rescue_keeps_the_next_one_waiting_and_a_burial_lets_it_start(
    subject: Subject,
) -> None:
    store = subject.rebind(most_rescues=2)
    first, second = rerun(1), rerun(2)
    await submit(store, first)
    await claim_one(store, "dead")
    await submit(store, second)
    subject.advance(3_000)
    assert (await rescue(store, 3_000)).requeued == [first.id]
    assert [job.id for job in await claim(store, "dead", count=9)] == [first.id]
    subject.advance(3_000)
    assert (await rescue(store, 3_000)).buried == [first.id]
    assert (await claim_one(store)).id == second.id


async def test_the_one_that_waits_can_be_cancelled(store: Store) -> None:
    first, second = rerun(1), rerun(2)
    await submit(store, first)
    running = await claim_one(store)
    await submit(store, second)
    await store.cancel(second.id, "no more")
    assert (await record_of(store, second.id)).status is JobStatus.CANCELLED
    third = rerun(3)
    await submit(store, third)
    await store.settle("w1", [outcome(running)])
    assert [job.id for job in await claim(store, count=9)] == [third.id]


async def test_cancelling_one_that_has_not_started_frees_its_key(store: Store) -> None:
    first = rerun(1)
    await submit(store, first)
    await store.cancel(first.id, "no more")
    await submit(store, rerun(2))
    assert (await claim_one(store)).arguments == b"2"


async def test_a_first_one_that_expires_lets_the_next_one_start(
    store: Store, subject: Subject
) -> None:
    first, second = rerun(1, budget=1_000), rerun(2)
    await submit(store, first)
    running = await claim_one(store)
    await submit(store, second)
    await store.settle("w1", [outcome(running, Ending.RELEASE)])
    subject.advance(1_100)
    claimed = await claim(store, count=9)
    assert (await record_of(store, first.id)).status is JobStatus.EXPIRED
    assert [job.id for job in claimed or await claim(store)] == [second.id]


async def test_a_worker_is_told_when_the_next_one_may_start(store: Store) -> None:
    heard: list[bytes] = []
    await submit(store, rerun(1))
    running = await claim_one(store)
    await submit(store, rerun(2))
    assert await claim(store, "idle") == []
    channel = KEYS.worker_channel("idle")
    await store.subscribe(channel, heard.append, lambda: None).ready()
    await store.settle("w1", [outcome(running)])
    await store.now()
    assert heard == [f"work {KEYS.function('work')}".encode()]


async def test_those_who_wait_count_against_a_full_queue(subject: Subject) -> None:
    store = subject.rebind(most_waiting=1)
    await submit(store, rerun(1))
    await claim_one(store)
    await submit(store, rerun(2))
    [answer] = await store.enqueue([new()])
    assert isinstance(answer, QueueFullError)
    [joined] = await store.enqueue([rerun(3)])
    assert not isinstance(joined, JobRefusedError), "it makes no job"


async def test_every_kind_holds_within_one_call(store: Store) -> None:
    for make in (unique, lambda: debounced(1), lambda: rerun(1)):
        first, second = make(), make()
        answers = await store.enqueue([first, second])
        assert answers == [Enqueued(first.id, True), Enqueued(first.id, False)]


async def test_a_cancelled_tree_joins_nothing(store: Store) -> None:
    await store.declare({"work": b"{}"})
    first = rerun(1)
    await submit(store, first)
    root_id = "work-" + "e" * 32
    await store.cancel_trees([root_id], "enough")
    [answer] = await store.enqueue([rerun(2, parent_id=root_id, root_id=root_id)])
    assert isinstance(answer, JobRefusedError)
    assert (await record_of(store, first.id)).arguments == b"1"
