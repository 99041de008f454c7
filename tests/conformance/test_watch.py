"""What waiting for a result promises."""

from __future__ import annotations

import json

import pytest

from tests.conformance.subject import (
    ServerSubject,
    Subject,
    claim_one,
    new,
    outcome,
    record_of,
    submit,
)
from upnext.model.outcome import Ending
from upnext.model.status import JobStatus
from upnext.redis.waiter import Waiter
from upnext.store.store import Store


class Ear:
    """Hears one channel."""

    def __init__(self, store: Store, channel: str) -> None:
        self.heard: list[bytes] = []
        self.waiter = Waiter()
        self._store = store
        self.subscription = store.subscribe(channel, self._hear, lambda: None)

    def _hear(self, message: bytes) -> None:
        self.heard.append(message)
        self.waiter.wake()

    async def all_heard(self) -> list[bytes]:
        await self._store.now()  # what was published before has come before the answer
        return self.heard


async def listen(store: Store, channel: str = "ch") -> Ear:
    ear = Ear(store, channel)
    await ear.subscription.ready()
    return ear


async def test_a_waiter_is_told_the_end(store: Store, subject: Subject) -> None:
    ear = await listen(store)
    await submit(store, new(waiter="ch"))
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, result=b"[1]", duration=250, reason='a "b"\n/\xe9')])
    await store.attend(ear.waiter)
    [notice] = ear.heard
    record = await record_of(store, job.id)
    assert json.loads(notice) == {
        "id": job.id,
        "status": "complete",
        "attempt": 1,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "reason": 'a "b"\n/\xe9',
        "error": None,
        "result": [1],
    }


@pytest.mark.parametrize(
    "payload",
    [
        b"9007199254740993",
        b"[]",
        b"{}",
        b'{"a": [] ,"b":1e400}',
        '"\u20ac \U0001f600 \\u0000"'.encode(),
        b"123456789012345678901234567890",
        b"1.0",
        b"[" * 2_000 + b"]" * 2_000,
    ],
)
async def test_payloads_reach_the_waiter_byte_for_byte(store: Store, payload: bytes) -> None:
    ear = await listen(store)
    await submit(store, new(waiter="ch"))
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, Ending.FAILED, result=payload, error=payload)])
    [notice] = await ear.all_heard()
    assert notice.endswith(b'"error":' + payload + b',"result":' + payload + b"}")


async def test_a_waiter_is_told_once_and_of_the_end_only(store: Store) -> None:
    ear = await listen(store)
    await submit(store, new(waiter="ch"))
    for ending in (Ending.RETRY, Ending.SNOOZE, Ending.RELEASE, Ending.COMPLETE):
        job = await claim_one(store)
        await store.settle("w1", [outcome(job, ending)])
        await store.settle("w1", [outcome(job, ending)])
    [notice] = await ear.all_heard()
    assert json.loads(notice)["status"] == "complete"


async def test_who_watches_a_running_job_is_told(store: Store) -> None:
    first, second = await listen(store, "ch1"), await listen(store, "ch2")
    await submit(store, new(waiter="ch1"))
    job = await claim_one(store)
    for _ in range(3):
        record = await store.watch(job.id, "ch2")
        assert record is not None
        assert record.status is JobStatus.RUNNING
    await store.watch(job.id, "ch1")
    await store.settle("w1", [outcome(job)])
    assert len(await first.all_heard()) == 1
    assert len(await second.all_heard()) == 1


async def test_who_watches_what_is_over_gets_the_record_and_no_notice(store: Store) -> None:
    ear = await listen(store)
    await submit(store, new())
    job = await claim_one(store)
    await store.settle("w1", [outcome(job, result=b"7")])
    record = await store.watch(job.id, "ch")
    assert record == await store.lookup(job.id)
    assert record is not None
    assert (record.status, record.result) == (JobStatus.COMPLETE, b"7")
    assert await ear.all_heard() == []


async def test_watching_gives_what_a_lookup_gives(store: Store) -> None:
    job = new(delay=5_000, key="k", source=b"s", parent_id="work-p", root_id="work-r")
    await submit(store, job)
    assert await store.watch(job.id, "ch") == await store.lookup(job.id)


async def test_watching_without_a_channel_only_reads(store: Store) -> None:
    job = new()
    await submit(store, job)
    assert await store.watch(job.id, "") == await store.lookup(job.id)
    await store.settle("w1", [outcome(await claim_one(store))])
    assert await store.watch(job.id, "") == await store.lookup(job.id)


async def test_watching_nothing_leaves_nothing_behind(store: Store) -> None:
    missing = "work-" + "0" * 32
    assert await store.watch(missing, "ch") is None
    assert await store.lookup(missing) is None
    with pytest.raises(ValueError, match="not a job id"):
        await store.watch("nonsense", "ch")
    with pytest.raises(ValueError, match="not a job id"):
        await store.lookup("nonsense")


async def test_everybody_who_submits_under_a_key_is_told_once(store: Store) -> None:
    first, second = await listen(store, "ch1"), await listen(store, "ch2")
    await submit(store, new(key="k", waiter="ch1"))
    for channel in ("ch2", "ch1", "ch2", "ch2"):
        await store.enqueue([new(key="k", waiter=channel)])
    await store.settle("w1", [outcome(await claim_one(store))])
    assert len(await first.all_heard()) == 1
    assert len(await second.all_heard()) == 1


@pytest.mark.parametrize("how", ["cancelled", "expired"])
async def test_the_end_of_a_waiting_job_is_told(store: Store, subject: Subject, how: str) -> None:
    ear = await listen(store)
    job = new(waiter="ch", budget=1_000)
    await submit(store, job)
    if how == "cancelled":
        await store.cancel(job.id, "why")
    else:
        subject.advance(1_000)
        await store.claim("w1", [("work", 1)])
    [notice] = await ear.all_heard()
    told = json.loads(notice)
    assert (told["status"], told["attempt"], told["started_at"]) == (how, 0, None)
    assert (told["error"], told["result"]) == (None, None)


async def test_a_closed_ear_hears_nothing(store: Store) -> None:
    ear, other = await listen(store), await listen(store)
    await submit(store, new(waiter="ch"))
    ear.subscription.close()
    ear.subscription.close()
    await store.settle("w1", [outcome(await claim_one(store))])
    assert len(await other.all_heard()) == 1
    assert ear.heard == []


async def test_an_unknown_job_is_looked_for_in_its_own_place_alone(server: ServerSubject) -> None:
    store, unknown = server.store, new().id
    await submit(store, *(new(f"work{n}") for n in range(200)))
    server.client.config_resetstat()
    assert await store.lookup(unknown) is None
    assert await store.watch(unknown, "ch") is None
    assert await store.follow(unknown, "log", "", 10) is None
    assert await store.living(unknown) == []
    assert not (await store.cancel(unknown, "no")).reached
    (cancelled,) = await store.cancel_trees([unknown], "no")
    assert not cancelled.reached
    counts = server.client.info("commandstats")
    assert not {"cmdstat_scan", "cmdstat_keys", "cmdstat_randomkey"} & counts.keys()
    assert sum(stat["calls"] for stat in counts.values()) < 100, "it does not go over the others"
