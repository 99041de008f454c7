"""What dead letters promise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.subject import (
    Subject,
    claim,
    claim_one,
    new,
    outcome,
    record_of,
    rescue,
    submit,
)
from upnext.contracts.claimed import unpack_handed
from upnext.contracts.keys import Keys
from upnext.model.dedupe import Caching, Dedupe, DedupeKind
from upnext.model.identity import new_job_id
from upnext.model.job import NewJob, Replayed, ReplayVerdict
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.store.store import Store

HOUR = 3_600_000
KEYS = Keys("conformance")


async def bury(store: Store, job: NewJob | None = None, error: bytes = b"{}") -> NewJob:
    """A job that failed for good."""
    job = job or new()
    await submit(store, job)
    claimed = await claim_one(store)
    ended = outcome(claimed, Ending.FAILED, error=error, dead_letter=True)
    assert await store.settle("w1", [ended]) == ["applied"]
    return job


async def ids(store: Store, *args: object) -> list[str]:
    page = await store.dead_letters("work", *args)  # pyright: ignore[reportArgumentType]
    return [letter.record.id for letter in page.letters]


async def test_a_job_that_fails_for_good_is_kept_with_all_its_data(
    store: Store, subject: Subject
) -> None:
    before = subject.now
    job = await bury(
        store, new(arguments=b"[9007199254740993]", key="k", priority=3), b'{"type":"E"}'
    )
    page = await store.dead_letters("work")
    [letter] = page.letters
    assert letter.record == await record_of(store, job.id)
    assert (letter.record.arguments, letter.record.error) == (job.arguments, b'{"type":"E"}')
    assert (letter.record.key, letter.record.priority) == ("k", 3)
    assert 0 <= letter.at - before < 1_000
    assert letter.at == letter.record.finished_at
    assert (page.more, page.dropped) == (False, 0)


async def test_only_what_asks_for_it_is_kept(store: Store) -> None:
    await submit(store, new())
    await store.settle("w1", [outcome(await claim_one(store), Ending.FAILED)])
    assert await ids(store) == []


async def test_a_retry_that_the_deadline_forbids_is_kept(store: Store) -> None:
    job = new(budget=1_000)
    await submit(store, job)
    late = outcome(await claim_one(store), Ending.RETRY, delay=2_000, dead_letter=True)
    await store.settle("w1", [late])
    assert await ids(store) == [job.id]


async def test_a_job_that_kills_its_workers_is_kept(subject: Subject) -> None:
    store = subject.rebind(most_rescues=1)
    job = new()
    await submit(store, job)
    await claim_one(store, "dead")
    subject.advance(3_000)
    assert (await rescue(store, 3_000)).buried == [job.id]
    [letter] = (await store.dead_letters("work")).letters
    assert letter.record.reason == "killed 1 workers"


async def test_a_function_may_say_how_often_a_job_may_be_lost(
    store: Store, subject: Subject
) -> None:
    job, other = new(), new("other")
    await submit(store, job, other)
    await claim_one(store, "dead")
    await claim(store, "dead", name="other")
    subject.advance(3_000)
    found = await store.rescue("w", ["work", "other"], 3_000, await store.now(), {"work": 1})
    assert (found.requeued, found.buried) == ([other.id], [job.id])


async def test_a_dead_letter_outlives_ordinary_records(subject: Subject) -> None:
    store = subject.rebind(record_ttl=HOUR, dead_ttl=10 * HOUR)
    job = await bury(store)
    subject.advance(9 * HOUR)
    assert await ids(store) == [job.id]
    assert (await record_of(store, job.id)).status is JobStatus.FAILED
    subject.advance(2 * HOUR)
    assert await ids(store) == []
    assert await store.lookup(job.id) is None
    assert await store.replay("work", [(job.id, new().id)]) == [
        Replayed(ReplayVerdict.MISSING, job.id)
    ]


async def test_dead_letters_may_be_kept_for_ever(subject: Subject) -> None:
    store = subject.rebind(record_ttl=HOUR, dead_ttl=0)
    job = await bury(store)
    assert subject.lives_for(job.id) is None
    subject.advance(24 * 365 * HOUR)
    assert await ids(store) == [job.id]


async def test_past_their_number_the_oldest_is_dropped_and_counted(subject: Subject) -> None:
    store = subject.rebind(record_ttl=HOUR, dead_ttl=10 * HOUR, dead_most=2)
    jobs: list[NewJob] = []
    for _ in range(4):
        jobs.append(await bury(store))
        subject.advance(1_000)
    page = await store.dead_letters("work")
    assert [letter.record.id for letter in page.letters] == [jobs[3].id, jobs[2].id]
    assert page.dropped == 2
    lives = subject.lives_for(jobs[0].id)
    assert lives is not None
    assert lives <= HOUR, "its record goes as any other's"


async def test_pages_have_the_latest_first_and_leave_nothing_out(
    store: Store, subject: Subject
) -> None:
    jobs: list[str] = []
    for count in (3, 1, 3):  # some of one moment
        some = [new() for _ in range(count)]
        await submit(store, *some)
        claimed = await claim(store, count=count)
        await store.settle("w1", [outcome(job, Ending.FAILED, dead_letter=True) for job in claimed])
        jobs += sorted(job.id for job in some)
        subject.advance(1_000)
    seen: list[str] = []
    behind: tuple[int, str] | None = None
    while True:
        page = await store.dead_letters("work", 2, None, None, behind)
        seen += [letter.record.id for letter in page.letters]
        if not page.more:
            break
        assert len(page.letters) == 2
        behind = (page.letters[-1].at, page.letters[-1].record.id)
    assert seen == jobs[::-1]


async def test_letters_can_be_asked_for_by_time(store: Store, subject: Subject) -> None:
    jobs: list[NewJob] = []
    for _ in range(3):
        jobs.append(await bury(store))
        subject.advance(10_000)
    [_, middle, _] = (await store.dead_letters("work")).letters
    assert await ids(store, 9, middle.at) == [jobs[2].id, jobs[1].id]
    assert await ids(store, 9, None, middle.at) == [jobs[1].id, jobs[0].id]
    assert await ids(store, 9, middle.at, middle.at) == [jobs[1].id]


async def test_a_replay_makes_a_new_job_and_takes_the_letter_away(
    store: Store, subject: Subject
) -> None:
    old = await bury(
        store,
        new(arguments=b'{"a":[]}', priority=4, key="k", budget=60_000, parent_id="work-p",
            root_id="work-r", source=b'{"type":"cron"}'),
    )  # fmt: skip
    [letter] = (await store.dead_letters("work")).letters
    young = new_job_id("work")
    assert await store.replay("work", [(old.id, young)]) == [
        Replayed(ReplayVerdict.REPLAYED, young)
    ]
    assert await ids(store) == []
    job = await claim_one(store)
    assert (job.id, job.arguments, job.priority, job.key) == (young, old.arguments, 4, "k")
    assert (job.attempt, job.delivery, job.deadline) == (1, 1, None)
    assert (job.parent_id, job.root_id) == ("", young)
    assert json.loads(job.source) == {
        "type": "replay",
        "job_id": old.id,
        "failed_at": letter.at,
    }
    gone = await record_of(store, old.id)
    assert (gone.status, gone.replayed_as) == (JobStatus.FAILED, young)
    lives = subject.lives_for(old.id)
    assert lives is not None
    assert lives <= 24 * HOUR, "its record goes as any other's"
    accepted = subject.events()[-2]
    assert (accepted["type"], accepted["source"]) == (b"queued", job.source)


async def test_a_replay_is_repeatable_without_doubling(store: Store) -> None:
    old = await bury(store)
    first, second = new_job_id("work"), new_job_id("work")
    pairs = [(old.id, first), (old.id, second)]
    answers = await store.replay("work", pairs)
    assert answers == [
        Replayed(ReplayVerdict.REPLAYED, first),
        Replayed(ReplayVerdict.REPEATED, first),
    ]
    assert [one.id for one in await store.replay("work", pairs)] == [first, first]
    assert len(await claim(store, count=9)) == 1


async def test_what_is_no_dead_letter_is_not_replayed(store: Store) -> None:
    live, done = new(), new()
    await submit(store, live, done)
    first, _ = await claim(store, count=2)
    await store.settle("w1", [outcome(first, Ending.FAILED)])
    unknown = new_job_id("work")
    pairs = [(job, new_job_id("work")) for job in (live.id, done.id, unknown)]
    answers = await store.replay("work", pairs)
    assert [answer.verdict for answer in answers] == [ReplayVerdict.MISSING] * 3


@pytest.mark.parametrize("how", [{"key": "k"}, {"dedupe": Dedupe(DedupeKind.RERUN, "k")}])
async def test_a_replay_does_not_stand_beside_a_job_with_its_key(
    store: Store, how: dict[str, Any]
) -> None:
    old = await bury(store, new(**how))
    other = new(**how)
    await submit(store, other)
    held = [Replayed(ReplayVerdict.HELD, other.id)]
    assert await store.replay("work", [(old.id, new_job_id("work"))]) == held
    assert await ids(store) == [old.id]
    await store.settle("w1", [outcome(await claim_one(store))])
    young = new_job_id("work")
    await store.replay("work", [(old.id, young)])
    [answer] = await store.enqueue([new(**how)])
    assert getattr(answer, "id", None) == young, "the new job has the key"


async def test_the_result_of_a_replay_is_cached(store: Store) -> None:
    caching = Caching("c", 5_000)
    old = await bury(store, new(caching=caching))
    await store.replay("work", [(old.id, new_job_id("work"))])
    await store.settle("w1", [outcome(await claim_one(store), result=b"5")])
    hit = new(caching=caching)
    await submit(store, hit)
    assert (await record_of(store, hit.id)).result == b"5"


async def test_a_full_queue_takes_no_replays(subject: Subject) -> None:
    store = subject.rebind(most_waiting=1)
    letters = [await bury(store), await bury(store)]
    pairs = [(job.id, new_job_id("work")) for job in letters]
    answers = await store.replay("work", pairs)
    assert [answer.verdict for answer in answers] == [ReplayVerdict.REPLAYED, ReplayVerdict.FULL]
    assert await ids(store) == [letters[1].id]


async def test_a_replay_is_handed_to_a_hungry_worker(store: Store) -> None:
    heard: list[bytes] = []
    old = await bury(store)
    await store.subscribe(KEYS.worker_channel("idle"), heard.append, lambda: None).ready()
    assert await claim(store, "idle") == []
    young = new_job_id("work")
    await store.replay("work", [(old.id, young)])
    await store.now()
    [message] = heard
    assert unpack_handed(message)[2][0] == young.encode()
    assert (await record_of(store, young)).worker == "idle"


async def test_a_replay_may_die_again(store: Store) -> None:
    old = await bury(store)
    young = new_job_id("work")
    await store.replay("work", [(old.id, young)])
    again = outcome(await claim_one(store), Ending.FAILED, dead_letter=True)
    await store.settle("w1", [again])
    assert await ids(store) == [young]


async def test_a_purge_deletes_letters_and_records_and_nothing_else(store: Store) -> None:
    first, second = await bury(store), await bury(store)
    live = new()
    await submit(store, live)
    assert await store.purge("work", [first.id, live.id, new_job_id("work")]) == 1
    assert await store.lookup(first.id) is None
    assert await ids(store) == [second.id]
    assert (await record_of(store, live.id)).status is JobStatus.QUEUED
    assert await store.purge("work", [first.id]) == 0


async def test_many_letters_fit_one_call_of_each_verb(store: Store) -> None:
    jobs = [new() for _ in range(150)]
    await submit(store, *jobs)
    claimed = await claim(store, count=150)
    await store.settle("w1", [outcome(job, Ending.FAILED, dead_letter=True) for job in claimed])
    pairs = [(job.id, new_job_id("work")) for job in jobs]
    assert await store.replay("work", pairs) == [
        Replayed(ReplayVerdict.REPLAYED, young) for _, young in pairs
    ]
    assert len(await claim(store, count=200)) == 150
