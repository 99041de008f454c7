"""The entries of jobs that are over leave their lane, in whatever order jobs end."""

from __future__ import annotations

import random

import pytest

from tests.conformance.subject import (
    KEYS,
    ServerSubject,
    claim,
    held,
    new,
    outcome,
    rescue,
    submit,
)
from upnext.contracts.keys import GROUP
from upnext.model.job import Job
from upnext.model.outcome import Settled
from upnext.store.store import Store

LANE = KEYS.function("work") + "lane:0"


async def settle(store: Store, worker: str, jobs: list[Job]) -> None:
    answers = await store.settle(worker, [outcome(job) for job in jobs])
    assert answers == [Settled.APPLIED] * len(jobs)


@pytest.mark.parametrize("seed", range(5))
async def test_jobs_of_several_workers_that_end_in_any_order(
    server: ServerSubject, seed: int
) -> None:
    draw, store = random.Random(seed), server.store
    await submit(server.store, *[new() for _ in range(300)])
    left: dict[str, list[Job]] = {worker: [] for worker in ("w1", "w2", "w3")}
    waiting = 300
    while waiting or any(left.values()):
        worker = draw.choice(list(left))
        if draw.random() < 0.5:
            jobs = await claim(store, worker, draw.randint(1, 30))
            left[worker] += jobs
            waiting -= len(jobs)
        else:
            draw.shuffle(left[worker])
            count = draw.randint(0, 30)
            ended, left[worker] = left[worker][:count], left[worker][count:]
            await settle(store, worker, ended)
        assert server.in_lanes() == waiting + sum(map(len, left.values()))
    for worker in left:
        assert (await store.recover(worker, ["work"], [])).jobs == []


async def test_a_job_that_takes_long_keeps_no_entry_but_its_own(server: ServerSubject) -> None:
    await submit(server.store, *[new() for _ in range(20)])
    first, *others = await claim(server.store, "w1", 20)
    await settle(server.store, "w1", others)
    assert server.in_lanes() == 1
    [again] = (await server.store.recover("w1", ["work"], [])).jobs
    assert again.id == first.id


async def test_an_entry_that_somebody_acknowledged_by_hand_takes_no_other_ones_place(
    server: ServerSubject,
) -> None:
    await submit(server.store, *[new() for _ in range(10)])
    stray, *ended, last = await claim(server.store, "w1", 10)
    entry = server.client.hget(KEYS.job(stray.id), "entry")
    server.client.xack(LANE, GROUP, entry)
    await settle(server.store, "w1", ended)
    assert server.in_lanes() == 1
    await settle(server.store, "w1", [stray, last])
    assert server.in_lanes() == 0


async def test_where_the_group_was_lost_nothing_that_waits_is_taken_for_over(
    server: ServerSubject,
) -> None:
    store = server.store
    await submit(store, *[new() for _ in range(20)])
    running = await claim(store, "w1", 10)
    lose_group(server)
    await settle(store, "w1", running[:5])
    assert len(await claim(store, "w2", 3)) == 3
    await settle(store, "w1", running[5:])
    assert len(await claim(store, "w2", 20)) == 7
    assert server.in_lanes() == 10


async def test_where_the_group_was_lost_what_runs_is_still_rescued_from_a_dead_worker(
    server: ServerSubject,
) -> None:
    store = server.store
    await submit(store, *[new() for _ in range(6)])
    dead, alive = await claim(store, "dead", 2), await claim(store, "w1", 2)
    lose_group(server)
    assert len(await claim(store, "w2", 10)) == 2
    server.advance(1_000)
    await store.renew("w1", [held(job) for job in alive])
    rescued = await rescue(store, 1_000, worker="w2")
    assert rescued.requeued == [job.id for job in dead]
    assert [job.id for job in await claim(store, "w2", 10)] == rescued.requeued
    await settle(store, "w1", alive)
    assert server.in_lanes() == 4


def lose_group(server: ServerSubject) -> None:
    """As somebody does by hand."""
    server.client.xgroup_destroy(LANE, GROUP)
    server.client.xgroup_create(LANE, GROUP, "0")
