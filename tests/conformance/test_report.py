"""What the reports of running jobs promise, and what listeners are told."""

from __future__ import annotations

import time
from typing import Any

import attrs
import pytest

from tests.conformance.subject import (
    ServerSubject,
    Subject,
    claim_one,
    held,
    new,
    outcome,
    record_of,
    rescue,
    submit,
)
from tests.conformance.test_watch import listen
from upnext.contracts.keys import Keys
from upnext.model.job import Job
from upnext.model.outcome import Ending
from upnext.model.report import Entry, Report, ReportKind, Reports, Written
from upnext.model.status import JobStatus
from upnext.store.store import Store

PROGRESS, CHECKPOINT = ReportKind.PROGRESS, ReportKind.CHECKPOINT
LOG, OUTPUT = ReportKind.LOG, ReportKind.OUTPUT
KEYS = Keys("conformance")
LINE = b'{"level":"INFO","logger":"app","message":"\xc3\xa9"}'


def say(kind: ReportKind, payload: bytes, number: int, **fields: Any) -> Report:
    fields.setdefault("text", "json" if kind is OUTPUT else "")
    made_at = time.monotonic() - fields.pop("age", 0) / 1000
    return Report(kind=kind, payload=payload, number=number, made_at=made_at, **fields)


def of(job: Job, *reports: Report, started: int = 7) -> Reports:
    return Reports(held(job), started, list(reports))


def keys_of(server: ServerSubject, job_id: str) -> list[str]:
    """All keys that speak of a job."""
    client: Any = server.client
    keys = client.keys(f"*{job_id}*")
    return [key.decode() for key in keys]


async def chunks(store: Store, job_id: str, after: str = "", most: int = 100) -> list[Entry]:
    heard = await store.follow(job_id, "out", after, most)
    assert heard is not None
    return heard.entries


async def test_progress_and_checkpoint_are_kept_with_the_job(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    before = await record_of(store, job.id)
    assert (before.progress, before.progress_message, before.checkpoint) == (None, "", b"")
    said = of(
        job, say(PROGRESS, b"0.25", 1, text="a quarter"), say(CHECKPOINT, b'{"row":[]}', 2, age=40)
    )
    assert await store.report("w1", [said]) == [Written.APPLIED]
    record = await record_of(store, job.id)
    assert (record.progress, record.progress_message) == (0.25, "a quarter")
    assert record.checkpoint == b'{"row":[]}'
    assert record.checkpoint_at is not None
    assert record.claimed_at is not None
    assert -60 < record.checkpoint_at - record.claimed_at <= -30, "when it was said, not written"


@pytest.mark.parametrize("lag", [-1_000, 0, 1_000])
async def test_no_attempt_starts_before_it_is_claimed(store: Store, lag: int) -> None:
    await submit(store, new())
    job = await claim_one(store)
    said = of(job, say(PROGRESS, b"0.25", 1), started=job.claimed_at + lag)
    assert await store.report("w1", [said]) == [Written.APPLIED]
    assert (await record_of(store, job.id)).started_at == job.claimed_at + max(0, lag)


@pytest.mark.parametrize("ending", [Ending.RETRY, Ending.SNOOZE, Ending.RELEASE])
async def test_the_next_attempt_gets_what_was_saved_last(store: Store, ending: Ending) -> None:
    await submit(store, new())
    job = await claim_one(store)
    assert job.checkpoint == b""
    await store.report("w1", [of(job, say(CHECKPOINT, b'{"n":1}', 1))])
    await store.report("w1", [of(job, say(CHECKPOINT, b'{"n":9007199254740993}', 2))])
    await store.settle("w1", [outcome(job, ending)])
    again = await claim_one(store, "w2")
    assert again.checkpoint == b'{"n":9007199254740993}'
    [known] = (await store.recover("w2", ["work"], [])).jobs
    assert known.checkpoint == again.checkpoint


async def test_the_last_of_several_checkpoints_counts_be_it_empty(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    said = of(job, say(CHECKPOINT, b"[1]", 1), say(CHECKPOINT, b"", 2))
    assert await store.report("w1", [said]) == [Written.APPLIED]
    assert (await record_of(store, job.id)).checkpoint == b""


async def test_a_rescued_job_keeps_its_checkpoint(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    await store.report("w1", [of(job, say(CHECKPOINT, b"[1]", 1))])
    subject.advance(5_000)
    await rescue(store, 1_000)
    assert (await claim_one(store, "w2")).checkpoint == b"[1]"


async def test_reports_are_fenced_by_owner_and_delivery(store: Store, subject: Subject) -> None:
    await submit(store, new())
    first = await claim_one(store)
    said = of(first, say(PROGRESS, b"0.5", 1), say(OUTPUT, b"1", 2, count=1))
    assert await store.report("w2", [said]) == [Written.STALE]
    await store.settle("w1", [outcome(first, Ending.RELEASE)])
    assert await store.report("w1", [said]) == [Written.STALE]
    second = await claim_one(store)
    assert await store.report("w1", [said]) == [Written.STALE]
    await store.settle("w1", [outcome(second)])
    assert await store.report("w1", [of(second, say(PROGRESS, b"0.5", 1))]) == [Written.STALE]
    assert (await record_of(store, first.id)).progress is None
    assert await chunks(store, first.id) == []
    assert b"progress" not in {event["type"] for event in subject.events()}
    missing = attrs.evolve(first, id=new().id)
    assert await store.report("w1", [of(missing, say(PROGRESS, b"1", 1))]) == [Written.STALE]


async def test_the_same_reports_twice_are_written_once(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    said = of(job, say(OUTPUT, b'"a"', 1, count=1), say(LOG, LINE, 2, count=1))
    more = of(job, *said.reports, say(OUTPUT, b'"b"', 3, count=2))
    for batch in (said, said, more, said):
        assert await store.report("w1", [batch]) == [Written.APPLIED]
    assert [entry.payload for entry in await chunks(store, job.id)] == [b'"a"', b'"b"']
    assert [event["type"] for event in subject.events()].count(b"log") == 1


async def test_output_is_read_in_order_from_any_place(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    every = bytes(range(256))
    words = [say(OUTPUT, b"%d" % n, n, count=n) for n in range(1, 6)]
    await store.report("w1", [of(job, *words, say(OUTPUT, every, 6, count=6, text="raw"))])
    found = await chunks(store, job.id)
    assert [entry.payload for entry in found] == [b"1", b"2", b"3", b"4", b"5", every]
    assert [entry.number for entry in found] == [1, 2, 3, 4, 5, 6]
    assert [entry.kind for entry in found] == ["json"] * 5 + ["raw"]
    assert await chunks(store, job.id, found[2].id) == found[3:]
    assert await chunks(store, job.id, found[2].id, 1) == found[3:4]
    await store.settle("w1", [outcome(job, Ending.RETRY)])
    again = await claim_one(store)
    await store.report("w1", [of(again, say(OUTPUT, b"6", 1, count=1))])
    [last] = await chunks(store, job.id, found[-1].id)
    assert (last.attempt, last.number, last.delivery) == (2, 1, 2), "a second run begins again"


@pytest.mark.parametrize("what", ["log", "out"])
async def test_the_oldest_entries_go_when_there_are_too_many(subject: Subject, what: str) -> None:
    store = subject.rebind(log_bytes=1_000, output_bytes=1_000)
    await submit(store, new())
    job = await claim_one(store)
    kind = LOG if what == "log" else OUTPUT
    for n in range(1, 31):
        await store.report("w1", [of(job, say(kind, LINE, n, count=n))])
    heard = await store.follow(job.id, what, "", 100)
    assert heard is not None
    fits = 1_000 // (len(LINE) + 100)
    assert [entry.number for entry in heard.entries] == list(range(31 - fits, 31))


async def test_an_entry_larger_than_the_bound_is_kept_alone(subject: Subject) -> None:
    store = subject.rebind(output_bytes=1_000)
    await submit(store, new())
    job = await claim_one(store)
    large = b'"%s"' % (b"x" * 2_000)
    said = [say(OUTPUT, b"1", 1, count=1), say(OUTPUT, large, 2, count=2)]
    await store.report("w1", [of(job, *said)])
    assert [entry.payload for entry in await chunks(store, job.id)] == [large]


async def test_history_hears_all_but_the_output(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    before = len(subject.events())
    await store.report(
        "w1",
        [
            of(
                job,
                say(PROGRESS, b"0.5", 1, text="half"),
                say(CHECKPOINT, b'{"n":1}', 2),
                say(LOG, LINE, 3, count=4),
                say(OUTPUT, b"1", 4, count=1),
            )
        ],
    )
    found = subject.events()[before:]
    owner = {"id": job.id.encode(), "attempt": b"1", "delivery": b"1", "worker": b"w1"}
    for event in found:
        assert int(event.pop("said")) > 0
    assert found == [
        {"type": b"progress", **owner, "progress": b"0.5", "message": b"half"},
        {"type": b"checkpoint", **owner, "checkpoint": b'{"n":1}'},
        {"type": b"log", **owner, "n": b"4", "line": LINE},
    ]


async def test_listeners_are_told_what_there_is_to_read(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    ear = await listen(store, KEYS.said_channel(job.id))
    await store.report("w1", [of(job, say(PROGRESS, b"0.5", 1))])
    await store.report("w1", [of(job, say(OUTPUT, b"1", 2), say(LOG, LINE, 3))])
    await store.report("w1", [of(job, say(OUTPUT, b"1", 2))])  # was written before
    await store.settle("w1", [outcome(job)])
    assert await ear.all_heard() == [b"progress", b"log output", b"over"]


async def test_a_listener_is_told_the_end_of_a_job_that_says_nothing(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    ear = await listen(store, KEYS.said_channel(job.id))
    heard = await store.follow(job.id, "out", "", 10)
    assert heard is not None
    assert (heard.status, heard.progress, heard.entries) == (JobStatus.RUNNING, None, [])
    await store.settle("w1", [outcome(job)])
    assert await ear.all_heard() == [b"over"]
    heard = await store.follow(job.id, "out", "", 10)
    assert heard is not None
    assert heard.status is JobStatus.COMPLETE


async def test_a_job_that_nobody_hears_and_that_says_nothing_tells_nobody(store: Store) -> None:
    await submit(store, new())
    job = await claim_one(store)
    ear = await listen(store, KEYS.said_channel(job.id))
    await store.settle("w1", [outcome(job)])
    assert await ear.all_heard() == []


async def test_a_listener_finds_the_progress_and_where_the_job_stands(store: Store) -> None:
    assert await store.follow(new().id, "", "", 10) is None
    await submit(store, new())
    job = await claim_one(store)
    await store.report("w1", [of(job, say(PROGRESS, b"0.5", 1, text="\xe9"))])
    heard = await store.follow(job.id, "", "", 10)
    assert heard is not None
    assert heard.progress is not None
    assert (heard.progress.fraction, heard.progress.message) == (0.5, "\xe9")
    assert heard.progress.at > 0
    assert heard.progress.percent == 50


async def test_many_jobs_of_many_functions_are_answered_in_order(store: Store) -> None:
    await submit(store, new("a"), new("b"), new("a"))
    [one, three] = (await store.claim("w1", [("a", 2)])).jobs
    [two] = (await store.claim("w1", [("b", 1)])).jobs
    await store.settle("w1", [outcome(three)])
    batch = [of(job, say(PROGRESS, b"0.5", 1)) for job in (one, two, three)]
    written = await store.report("w1", batch)
    assert written == [Written.APPLIED, Written.APPLIED, Written.STALE]


async def test_what_was_said_lives_as_long_as_the_record(server: ServerSubject) -> None:
    store = server.rebind(record_ttl=5_000)
    await submit(store, new())
    job = await claim_one(store)
    said = [say(LOG, LINE, 1, count=1), say(OUTPUT, b"1", 2, count=1)]
    await store.report("w1", [of(job, *said)])
    prefix = KEYS.function("work")
    names = [f"{prefix}log:{job.id}", f"{prefix}out:{job.id}"]
    assert [server.client.pttl(name) for name in names] == [-1, -1]
    await store.settle("w1", [outcome(job)])
    lives = [server.client.pttl(name) for name in (KEYS.job(job.id), *names)]
    assert all(4_900 < left <= 5_000 for left in lives), lives
    server.advance(5_100)
    assert keys_of(server, job.id) == []


async def test_a_plain_job_leaves_no_key_of_a_report(server: ServerSubject) -> None:
    await submit(server.store, new())
    job = await claim_one(server.store)
    await server.store.settle("w1", [outcome(job)])
    assert keys_of(server, job.id) == [KEYS.job(job.id)]
    assert not server.client.hexists(KEYS.job(job.id), "more")


async def test_a_damaged_job_does_not_hold_up_the_others(server: ServerSubject) -> None:
    store = server.store
    await submit(store, new(), new())
    good, bad = (await store.claim("w1", [("work", 2)])).jobs
    server.client.set(f"{KEYS.function('work')}out:{bad.id}", "no stream")
    batch = [of(job, say(OUTPUT, b"1", 1, count=1)) for job in (bad, good)]
    refused, written = await store.report("w1", batch)
    assert "WRONGTYPE" in refused
    assert written is Written.APPLIED
