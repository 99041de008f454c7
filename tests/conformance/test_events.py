"""Every transition tells history what it needs, and nothing else is left behind."""

from __future__ import annotations

from tests.conformance.subject import (
    KEYS,
    ServerSubject,
    Subject,
    claim,
    claim_one,
    new,
    outcome,
    rescue,
    submit,
)
from upnext.model.outcome import Ending
from upnext.store.store import Store


def kinds(subject: Subject) -> list[str]:
    return [event["type"].decode() for event in subject.events()]


async def test_acceptance_tells_all_about_a_job(store: Store, subject: Subject) -> None:
    job = new(
        arguments=b"\x00[9007199254740993]",
        priority=3,
        delay=5_000,
        budget=90_000,
        key="k",
        parent_id="work-p",
        root_id="work-r",
        source=b'{"cron":[]}',
    )
    await submit(store, job)
    [event] = subject.events()
    due, deadline = int(event.pop("due")), int(event.pop("deadline"))
    assert abs(due - subject.now - 5_000) < 100
    assert deadline == due + 85_000
    assert event == {
        "type": b"scheduled",
        "id": job.id.encode(),
        "name": b"work",
        "arguments": job.arguments,
        "priority": b"3",
        "key": b"k",
        "parent": b"work-p",
        "root": b"work-r",
        "source": job.source,
    }


async def test_the_life_of_a_job_is_told(store: Store, subject: Subject) -> None:
    await submit(store, new(delay=1_000))
    subject.advance(1_000)
    await store.stage(["work"])
    for ending in (Ending.RETRY, Ending.SNOOZE, Ending.RELEASE):
        await store.settle("w1", [outcome(await claim_one(store), ending)])
    await claim_one(store, "dead")
    subject.advance(1_000)
    await rescue(store, 1_000)
    job = await claim_one(store)
    await store.cancel(job.id, "why")
    await store.settle("w1", [outcome(job, Ending.CANCELLED)])
    assert kinds(subject) == [
        *("scheduled", "queued", "running", "retry", "running", "snooze", "running", "release"),
        *("running", "rescued", "running", "cancel_requested", "cancelled"),
    ]
    assert {event["id"] for event in subject.events()} == {job.id.encode()}


async def test_an_attempt_is_told_with_all_its_numbers(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    subject.advance(2_000)
    retry = outcome(job, Ending.RETRY, error=b'{"a":[]}', duration=1_000, reason="r", delay=500)
    await store.settle("w1", [retry])
    _, running, retried = subject.events()
    assert running == {
        "type": b"running",
        "id": job.id.encode(),
        "attempt": b"1",
        "delivery": b"1",
        "worker": b"w1",
    }
    started, due = int(retried.pop("started")), int(retried.pop("due"))
    assert due == started + 1_500
    assert retried == {
        "type": b"retry",
        "id": job.id.encode(),
        "attempt": b"1",
        "delivery": b"1",
        "worker": b"w1",
        "error": b'{"a":[]}',
        "reason": b"r",
    }


async def test_an_end_is_told_with_its_result(store: Store, subject: Subject) -> None:
    await submit(store, new())
    job = await claim_one(store)
    over = outcome(job, Ending.FAILED, result=b"[]", error=b"{}", reason="why", duration=100)
    await store.settle("w1", [over])
    event = subject.events()[-1]
    assert abs(int(event.pop("started")) - subject.now + 100) < 100
    assert event == {
        "type": b"failed",
        "id": job.id.encode(),
        "attempt": b"1",
        "delivery": b"1",
        "worker": b"w1",
        "result": b"[]",
        "error": b"{}",
        "reason": b"why",
    }


async def test_a_rescue_names_the_worker_that_was_lost(store: Store, subject: Subject) -> None:
    await submit(store, new())
    for _ in range(3):
        job = await claim_one(store, "dead")
        subject.advance(1_000)
        await rescue(store, 1_000)
    rescued = [event for event in subject.events() if event["type"] == b"rescued"]
    assert [event["worker"] for event in rescued] == [b"dead"] * 2
    assert [event["delivery"] for event in rescued] == [b"1", b"2"]
    assert [event["attempt"] for event in rescued] == [b"1", b"1"]
    buried = subject.events()[-1]
    assert (buried["type"], buried["worker"], buried["delivery"]) == (b"failed", b"dead", b"3")
    assert buried["id"] == job.id.encode()


async def test_calls_with_much_to_tell_tell_all_of_each_job(store: Store, subject: Subject) -> None:
    jobs = [new(arguments=b'"%s"' % (b"a b" * 33_000)) for _ in range(8)]  # several entries a call
    await submit(store, *jobs)
    claimed = await claim(store, "w1", 8)
    await store.settle("w1", [outcome(job, result=job.arguments) for job in claimed])
    for job in jobs:
        told = [event for event in subject.events() if event["id"] == job.id.encode()]
        queued, running, complete = told
        assert (queued["name"], queued["arguments"]) == (b"work", job.arguments)
        assert (queued["priority"], running["worker"]) == (b"0", b"w1")
        assert (complete["worker"], complete["result"]) == (b"w1", job.arguments)


async def test_refusals_and_no_ops_tell_nothing(subject: Subject) -> None:
    store = subject.rebind(most_waiting=1)
    job = new(key="k")
    await submit(store, job)
    await store.enqueue([job, new(key="k"), new()])
    await store.watch(job.id, "ch")
    await store.stage(["work"])
    await store.recover("w1", ["work"], [])
    await rescue(store, 1_000)
    assert kinds(subject) == ["queued"]


async def test_the_stream_of_events_is_bounded(subject: Subject) -> None:
    store = subject.rebind(events_kept=100)
    await submit(store, *(new() for _ in range(2_000)))
    assert len(subject.events()) < 600, "about as many as asked for: whole calls are cut off"


async def test_only_declared_keys_are_left_of_a_busy_life(server: ServerSubject) -> None:
    store = server.rebind(record_ttl=5_000)
    await store.declare({"work": b"{}"})
    root = "work-" + "0" * 32
    tree = {"parent_id": root, "root_id": root, "budget": 60_000}
    await submit(store, *(new(key=f"k{n}", delay=n, **tree) for n in range(3)))
    await submit(store, *(new(priority=n, **tree) for n in range(4)), new(waiter="ch"))
    server.advance(10)
    await store.stage(["work"])
    claimed = (await store.claim("w1", [("work", 6)])).jobs
    endings = [*Ending][: len(claimed)]
    await store.settle("w1", [outcome(j, e) for j, e in zip(claimed, endings, strict=True)])
    await store.claim("dead", [("work", 2)])
    server.advance(1_000)
    await rescue(store, 1_000)
    await store.cancel_trees([root], "all")
    while jobs := (await store.claim("w1", [("work", 9)])).jobs:
        await store.settle("w1", [outcome(job) for job in jobs])
    assert await store.retire("w1", ["work"]) == 0
    await store.retire("dead", ["work"])
    assert server.in_lanes() == 0

    prefix = KEYS.function("work")
    lanes = set(server.lanes())
    server.advance(25 * 3_600_000)
    own = ("lanes", "share", "definition", "journal")
    permanent = {*(prefix + name for name in own), KEYS.functions, KEYS.families, *lanes}
    left = {key.decode() for key in server.client.keys("*")}
    assert left == permanent | {prefix + "events"}
    assert server.client.pttl(prefix + "events") > 0
    server.advance(7 * 24 * 3_600_000)
    assert {key.decode() for key in server.client.keys("*")} == permanent
    for lane in lanes:
        [group] = server.client.xinfo_groups(lane)
        assert group["consumers"] == 0


async def test_the_life_of_events_is_prolonged_by_later_ones(server: ServerSubject) -> None:
    events, week = KEYS.function("work") + "events", 7 * 24 * 3_600_000
    await submit(server.store, new())
    assert 0 < server.client.pttl(events) <= week
    server.advance(week - 60_000)
    await submit(server.store, new())
    assert week - 60_000 < server.client.pttl(events) <= week


async def test_events_do_not_live_for_ever_once_all_was_flushed(server: ServerSubject) -> None:
    await submit(server.store, new())
    server.client.flushdb()
    await submit(server.store, new())
    assert server.client.pttl(KEYS.function("work") + "events") > 0


async def test_late_events_do_not_live_for_ever(server: ServerSubject) -> None:
    store, week = server.store, 8 * 24 * 3_600_000
    events = KEYS.function("work") + "events"
    waiting, late = new(delay=2 * week), new(budget=week)
    lost, again = new(), new()
    await submit(store, waiting, late)
    server.advance(week)
    assert server.client.exists(events) == 0
    await store.claim("w1", [("work", 1)])
    assert server.client.pttl(events) > 0, "the event of an expired job"
    server.advance(week)
    await store.stage(["work"])
    assert server.client.pttl(events) > 0, "the event of a staged job"
    await claim_one(store, "dead")
    server.advance(week)
    await rescue(store, 1_000)
    assert server.client.pttl(events) > 0, "the event of a rescued job"
    server.advance(week)
    await store.cancel(waiting.id, "no")
    assert server.client.pttl(events) > 0, "the event of a cancelled job"
    await submit(store, lost)
    await claim_one(store, "dead")
    await store.cancel(lost.id, "no")
    server.advance(week)
    await rescue(store, 1_000)
    assert server.client.pttl(events) > 0, "the event of a job that was cancelled and lost"
    await submit(store, again)
    server.advance(week)
    await claim_one(store, "w1")
    assert server.client.pttl(events) > 0, "the event of a claimed job"
