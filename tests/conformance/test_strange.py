"""The real store among damaged keys: nothing is lost in silence, nothing holds up the rest."""

from __future__ import annotations

import pytest
import redis

from tests.conformance.subject import (
    KEYS,
    ServerSubject,
    claim,
    claim_one,
    held,
    new,
    outcome,
    record_of,
    rescue,
    submit,
)
from upnext.contracts.keys import GROUP
from upnext.model.limits import limit_keys
from upnext.model.outcome import Ending, Settled
from upnext.model.status import JobStatus

P = KEYS.function("work")


@pytest.fixture
def client(server: ServerSubject) -> redis.Redis:
    return server.client


async def test_an_entry_without_a_job_is_set_aside(
    server: ServerSubject, client: redis.Redis
) -> None:
    await submit(server.store, new())
    strangers = [{"id": "work-none"}, {"id": b"\xff\xfe"}, {"what": "?"}, {"": ""}]
    for fields in strangers:
        client.xadd(P + "lane:0", fields)
    good = new()
    await submit(server.store, good)
    assert len(await claim(server.store, count=10)) == 2
    kept = [fields for _, fields in client.xrange(P + "strange")]
    assert len(kept) == len(strangers)
    assert {b"what": b"?"} in kept
    assert server.in_lanes() == 2


async def test_an_entry_of_very_many_fields_is_set_aside_in_part(
    server: ServerSubject, client: redis.Redis
) -> None:
    client.xadd(P + "strange", {"id": "work-none"})
    stranger = {f"k{i}": "v" for i in range(4_500)}
    first, last = new(), new()
    await submit(server.store, first)
    client.xadd(P + "lane:0", stranger)
    await submit(server.store, last)
    assert [job.id for job in await claim(server.store, count=10)] == [first.id, last.id]
    assert server.in_lanes() == 2
    [_, (_, kept)] = client.xrange(P + "strange")
    assert kept.pop(b"fields") == b"4500"
    assert kept == {f"k{i}".encode(): b"v" for i in range(1_000)}


async def test_what_cannot_be_set_aside_stays_and_holds_up_nothing(
    server: ServerSubject, client: redis.Redis
) -> None:
    client.set(P + "strange", "?")
    await submit(server.store, new())
    client.xadd(P + "lane:0", {"what": "?"})
    await submit(server.store, new(), new())
    first, broken, last = await claim(server.store, "w1", 10)
    client.hset(KEYS.job(broken.id), "attempt", "many")
    server.advance(1_000)
    assert (await rescue(server.store, 1_000)).requeued == [first.id, last.id]
    assert await server.store.retire("w1", ["work"]) == 0
    client.delete(P + "strange")
    await rescue(server.store, 1_000)
    kept = [fields for _, fields in client.xrange(P + "strange")]
    assert kept == [{b"what": b"?"}, {b"id": broken.id.encode()}]
    assert server.in_lanes() == 2


@pytest.mark.parametrize("damage", ["type", "fields", "number", "time", "deadline"])
async def test_a_damaged_record_is_set_aside_and_the_others_go_on(
    server: ServerSubject, client: redis.Redis, damage: str
) -> None:
    jobs = [new() for _ in range(3)]
    await submit(server.store, *jobs)
    broken = KEYS.job(jobs[1].id)
    if damage == "type":
        client.delete(broken)
        client.set(broken, "?")
    elif damage == "fields":
        client.hdel(broken, "created")
    elif damage == "number":
        client.hset(broken, "delivery", "many")
    elif damage == "time":
        client.hset(broken, "created", "1e3")  # a number, though not as they are written here
    else:
        client.hset(broken, mapping={"more": 1, "deadline": "tomorrow"})
    claimed = await claim(server.store, count=10)
    assert [job.id for job in claimed] == [jobs[0].id, jobs[2].id]
    assert [fields for _, fields in client.xrange(P + "strange")] == [{b"id": jobs[1].id.encode()}]


async def test_a_damaged_job_settles_alone(server: ServerSubject, client: redis.Redis) -> None:
    await submit(server.store, *(new() for _ in range(3)))
    first, broken, last = await claim(server.store, count=3)
    client.delete(KEYS.job(broken.id))
    client.set(KEYS.job(broken.id), "?")
    answers = await server.store.settle("w1", [outcome(job) for job in (first, broken, last)])
    assert (answers[0], answers[2]) == (Settled.APPLIED, Settled.APPLIED)
    assert answers[1] == Settled.STALE
    assert [revoked.lost for revoked in await server.store.renew("w1", [held(broken)])] == [True]
    assert (await server.store.recover("w1", ["work"], [])).jobs == []
    assert await server.store.cancel(broken.id, "?") == "missing"
    assert server.in_lanes() == 1, "what could not be settled is not dropped"
    server.advance(1_000)
    await rescue(server.store, 1_000)
    assert server.in_lanes() == 0
    assert [fields for _, fields in client.xrange(P + "strange")] == [{b"id": broken.id.encode()}]


async def test_a_damaged_job_holds_up_no_rescue(server: ServerSubject, client: redis.Redis) -> None:
    await submit(server.store, *(new() for _ in range(3)))
    first, broken, last = await claim(server.store, count=3)
    client.hset(KEYS.job(broken.id), mapping={"more": 1, "rescues": "many"})
    server.advance(1_000)
    assert (await rescue(server.store, 1_000)).requeued == [first.id, last.id]
    assert [fields for _, fields in client.xrange(P + "strange")] == [{b"id": broken.id.encode()}]


async def test_a_settlement_that_fails_halfway_can_be_made_again(
    server: ServerSubject, client: redis.Redis
) -> None:
    await submit(server.store, new())
    job = await claim_one(server.store)
    client.set(P + "dead", "?")
    failed = outcome(job, Ending.FAILED, dead_letter=True)
    [answer] = await server.store.settle("w1", [failed])
    assert "WRONGTYPE" in answer
    assert server.in_lanes() == 1, "whoever dies now has it rescued"
    client.delete(P + "dead")
    assert await server.store.settle("w1", [failed]) == [Settled.APPLIED]
    assert server.in_lanes() == 0
    assert client.zrange(P + "dead", 0, -1) == [job.id.encode()]


async def test_a_job_handed_out_by_a_claim_that_failed_is_not_lost(
    server: ServerSubject, client: redis.Redis
) -> None:
    jobs = [new() for _ in range(3)]
    await submit(server.store, *jobs)
    client.xreadgroup(GROUP, "w1", {P + "lane:0": ">"})  # as far as that claim came
    server.advance(1_000)
    await rescue(server.store, 1_000)
    assert {job.id for job in await claim(server.store, "w2", 5)} == {job.id for job in jobs}


async def test_a_worker_puts_back_what_a_failed_claim_of_its_own_handed_out(
    server: ServerSubject, client: redis.Redis
) -> None:
    await submit(server.store, *(new() for _ in range(3)))
    running = await claim_one(server.store, "w1")
    client.xreadgroup(GROUP, "w1", {P + "lane:0": ">"})  # as far as its next claim came
    server.advance(999)
    assert (await rescue(server.store, 1_000, worker="w1")).requeued == [], "its lease runs"
    server.advance(1)
    requeued = (await rescue(server.store, 1_000, worker="w1")).requeued
    assert len(requeued) == 2
    assert {job.id for job in await claim(server.store, "w1", 5)} == set(requeued)
    assert await server.store.settle("w1", [outcome(running)]) == [Settled.APPLIED]
    assert server.in_lanes() == 2


async def test_room_that_a_failed_claim_took_is_given_back_by_its_own_worker(
    server: ServerSubject, client: redis.Redis
) -> None:
    await server.store.declare({"work": b'{"max_concurrency": 1}'})
    job = new(limit_keys=limit_keys("k", ""))
    await submit(server.store, job)
    client.xadd(P + "lane:*", {"id": job.id, "keys": limit_keys("k", "")})  # as a claim does
    client.xreadgroup(GROUP, "w1", {P + "lane:*": ">"})
    assert await claim(server.store, "w1") == []
    server.advance(1_000)
    await rescue(server.store, 1_000, worker="w1")
    assert (await claim_one(server.store, "w1")).id == job.id


async def test_a_worker_that_leaves_gives_back_what_a_failed_claim_handed_out(
    server: ServerSubject, client: redis.Redis
) -> None:
    jobs = [new(priority=3) for _ in range(3)]
    await submit(server.store, *jobs)
    client.xreadgroup(GROUP, "w1", {P + "lane:3": ">"}, count=2)  # as far as that claim came
    assert await server.store.retire("w1", ["work"]) == 2
    assert {job.id for job in await claim(server.store, "w2", 5)} == {job.id for job in jobs}
    assert server.in_lanes() == 3
    assert not [c for c in client.xinfo_consumers(P + "lane:3", GROUP) if c["name"] == b"w1"]


async def test_a_damaged_job_does_not_keep_a_worker_from_giving_back_the_others(
    server: ServerSubject, client: redis.Redis
) -> None:
    await submit(server.store, *(new() for _ in range(3)))
    first, broken, last = await claim(server.store, "w1", 3)
    client.hset(KEYS.job(broken.id), "attempt", "many")
    assert await server.store.retire("w1", ["work"]) == 2
    assert {job.id for job in await claim(server.store, "w2", 5)} == {first.id, last.id}
    server.advance(1_000)
    await server.store.renew("w2", [held(job) for job in (first, last)])
    await rescue(server.store, 1_000, worker="w2")
    assert [fields for _, fields in client.xrange(P + "strange")] == [{b"id": broken.id.encode()}]


async def test_no_verb_fails_because_history_cannot_be_written(
    server: ServerSubject, client: redis.Redis
) -> None:
    client.set(P + "events", "?")
    jobs = [new() for _ in range(3)]
    await submit(server.store, *jobs)
    claimed = await claim(server.store, "w1", 3)
    assert [job.id for job in claimed] == [job.id for job in jobs]
    await server.store.settle("w1", [outcome(job) for job in claimed])
    assert server.in_lanes() == 0


@pytest.mark.parametrize("damage", ["hungry", "lanes"])
async def test_a_job_whose_hand_over_fails_waits_with_the_others(
    server: ServerSubject, client: redis.Redis, damage: str
) -> None:
    await submit(server.store, new())
    await claim_one(server.store, "w0")
    await server.store.subscribe(KEYS.worker_channel("w1"), lambda _: None, lambda: None).ready()
    assert await claim(server.store, "w1") == []
    client.rename(P + damage, "aside")
    client.set(P + damage, "?")
    job = new()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        await server.store.enqueue([job])
    assert (await record_of(server.store, job.id)).status is JobStatus.QUEUED
    assert server.events()[-1]["type"] == b"queued"
    client.rename("aside", P + damage)
    again = await claim_one(server.store, "w2")
    assert (again.id, again.arguments, again.attempt) == (job.id, job.arguments, 1)


@pytest.mark.parametrize("lost", ["counter", "order"])
async def test_history_goes_on_behind_what_is_there(
    server: ServerSubject, client: redis.Redis, lost: str
) -> None:
    await submit(server.store, *(new() for _ in range(5)))
    if lost == "counter":
        client.delete(P + "journal")
    else:
        client.xadd(P + "events", {"at": 1}, id="1795000000000-7")
    job = new()
    await submit(server.store, job)
    assert server.events()[-1]["id"].decode() == job.id


async def test_a_lost_group_starts_at_the_first_entry(
    server: ServerSubject, client: redis.Redis
) -> None:
    jobs = [new() for _ in range(3)]
    await submit(server.store, *jobs)
    client.xgroup_destroy(P + "lane:0", GROUP)
    assert [job.id for job in await claim(server.store, count=5)] == [job.id for job in jobs]


async def test_a_group_lost_with_its_stream_is_made_again(
    server: ServerSubject, client: redis.Redis
) -> None:
    await submit(server.store, new())
    await server.store.settle("w1", [outcome(await claim_one(server.store))])
    client.delete(P + "lane:0")
    assert await claim(server.store) == []
    await server.store.rescue("w2", ["work"], 1_000, await server.store.now())
    job = new()
    await submit(server.store, job)
    assert (await claim_one(server.store)).id == job.id


async def test_jobs_claimed_from_a_lost_group_still_settle(
    server: ServerSubject, client: redis.Redis
) -> None:
    await submit(server.store, new())
    job = await claim_one(server.store)
    client.xgroup_destroy(P + "lane:0", GROUP)
    assert await claim(server.store) == [], "the entry is there again, but its job runs"
    assert await server.store.settle("w1", [outcome(job)]) == [Settled.APPLIED]
    assert server.in_lanes() == 0


async def test_a_leftover_entry_of_a_finished_job_is_swept(
    server: ServerSubject, client: redis.Redis
) -> None:
    job = new()
    await submit(server.store, job)
    client.xadd(P + "lane:0", {"id": job.id})
    [claimed] = await claim(server.store, count=5)
    await server.store.settle("w1", [outcome(claimed)])
    assert server.in_lanes() == 0
    assert (await record_of(server.store, job.id)).status is JobStatus.COMPLETE


async def test_consumers_that_are_long_gone_are_removed(
    server: ServerSubject, client: redis.Redis
) -> None:
    await submit(server.store, new(), new())
    await server.store.settle("gone", [outcome(await claim_one(server.store, "gone"))])
    await claim_one(server.store, "busy")
    server.advance(11_000)
    await server.store.renew("busy", [])
    await server.store.claim("idle", [("work", 1)])
    await rescue(server.store, 1_000, worker="busy")
    names = {consumer["name"] for consumer in client.xinfo_consumers(P + "lane:0", GROUP)}
    assert names - {b"idle"} == {b"busy"}, "the one that holds a job stays, and so may a young one"


async def test_a_full_server_still_drains(server: ServerSubject, client: redis.Redis) -> None:
    await submit(server.store, *(new() for _ in range(4)))
    try:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            await server.store.enqueue([new()])
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            await server.store.declare({"work": b"{}"})
        done, retried = await claim(server.store, "w1", 2)
        assert await server.store.renew("w1", []) == []
        answers = await server.store.settle("w1", [outcome(done), outcome(retried, Ending.RETRY)])
        assert answers == [Settled.APPLIED] * 2
        await server.store.cancel(retried.id, "no")
        assert len(await claim(server.store, "w1", 9)) == 2
    finally:
        client.config_set("maxmemory", 0)
