"""Damaged records on the real store: what of one cannot be read takes no other one with it."""

from __future__ import annotations

import pytest
import redis

from tests.conformance.subject import KEYS, ServerSubject, claim, new, outcome, rescue, submit
from upnext.model.outcome import Settled

P = KEYS.function("work")


@pytest.fixture
def client(server: ServerSubject) -> redis.Redis:
    return server.client


@pytest.mark.parametrize("field", ["parent", "root", "key", "path"])
async def test_a_damaged_text_is_replaced_and_the_job_goes_on(
    server: ServerSubject, client: redis.Redis, field: str
) -> None:
    store, jobs = server.store, [new() for _ in range(3)]
    await submit(store, *jobs)
    client.hset(KEYS.job(jobs[1].id), mapping={"more": 1, field: b"a\xff"})
    ids = [job.id for job in jobs]
    claimed = await claim(store, "w1", 10)
    again = (await store.recover("w1", ["work"], [])).jobs
    picked = (await store.pick("w1", "work", 10, ids)).jobs
    for given in (claimed, again, picked):
        assert [job.id for job in given] == ids
        told = {"parent": given[1].parent_id, "root": given[1].root_id}
        told |= {"key": given[1].key, "path": given[1].path}
        assert told[field] == "a\ufffd"
    assert await store.settle("w1", [outcome(job) for job in again]) == [Settled.APPLIED] * 3


@pytest.mark.parametrize("field", ["attempt", "delivery", "created", "rescues", "arguments"])
async def test_what_was_damaged_since_its_claim_is_set_aside_and_the_others_are_told_again(
    server: ServerSubject, client: redis.Redis, field: str
) -> None:
    store, jobs = server.store, [new() for _ in range(3)]
    await submit(store, *jobs)
    await claim(store, "w1", 10)
    if field == "arguments":
        client.hdel(KEYS.job(jobs[1].id), field)
    else:
        client.hset(KEYS.job(jobs[1].id), mapping={"more": 1, field: "many"})
    ids = [job.id for job in jobs]
    picked = await store.pick("w1", "work", 10, ids)
    assert [job.id for job in picked.jobs] == [ids[0], ids[2]]
    assert [job.id for job in (await store.recover("w1", ["work"], [])).jobs] == [ids[0], ids[2]]
    assert [fields for _, fields in client.xrange(P + "strange")] == [{b"id": ids[1].encode()}]
    assert server.in_lanes() == 2


async def test_a_job_whose_id_is_no_text_keeps_no_rescuer_from_its_work(
    server: ServerSubject, client: redis.Redis
) -> None:
    good = new()
    await submit(server.store, good)
    entry = client.xadd(P + "lane:0", {"id": b"\xff"})
    record = {"status": "queued", "lane": "0", "entry": entry, "arguments": "[]", "created": 1}
    client.hset(P.encode() + b"job:\xff", mapping=record)
    store = server.rebind(most_rescues=2)
    for kind in ("requeued", "buried"):
        assert {job.id for job in await claim(store, "dead", 10)} == {good.id, "\ufffd"}
        server.advance(1_000)
        rescued = await rescue(store, 1_000)
        assert set(getattr(rescued, kind)) == {good.id, "\ufffd"}
