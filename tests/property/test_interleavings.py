"""Every order in which two workers can act on one job, to a fixed depth, on the model.

Breadth first over the states of the queue; two ways that lead to the same state are followed
once. No server, no randomness: a failure names the shortest way that leads to it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator

import pytest
from attrs import define, field

from upnext.model.job import Held, NewJob
from upnext.model.outcome import Ending, Outcome, Settled
from upnext.model.status import JobStatus
from upnext.store.bounds import Bounds
from upnext.testing.memory_store.cancel import cancel
from upnext.testing.memory_store.channels import Channels
from upnext.testing.memory_store.claim import claim
from upnext.testing.memory_store.enqueue import enqueue
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.record import Record
from upnext.testing.memory_store.recover import recover
from upnext.testing.memory_store.renew import renew
from upnext.testing.memory_store.rescue import rescue
from upnext.testing.memory_store.settle import settle
from upnext.testing.memory_store.stage import stage

DEPTH = 7
LEASE = 1_000
JOB = "work-" + "1" * 32
WORKERS = ("a", "b")
ENDINGS = ((Ending.COMPLETE, 0), (Ending.RETRY, 0), (Ending.RETRY, LEASE), (Ending.RELEASE, 0))


@define
class World:
    """The queue, the time, and what the two workers remember.

    Attributes:
        held: Worker -> the deliveries it was ever handed; it may act on any of them for ever.
        over: Deliveries that were settled or taken away: their fences must not fit any more.
        ends: How often the job was said to be over.
    """

    queue: Queue
    now: int = 0
    held: dict[str, tuple[int, ...]] = field(factory=lambda: dict.fromkeys(WORKERS, ()))
    over: frozenset[int] = frozenset()
    ends: int = 0

    @property
    def job(self) -> Record:
        return self.queue.jobs[JOB]

    def key(self) -> object:
        """What two worlds must share to have the same future."""
        job = self.job
        times = self.now, min(LEASE, self.now - job.renewed), self.queue.scheduled.get(JOB)
        fields = (job.status, job.attempt, job.delivery, job.rescues, job.worker, job.cancel)
        return *fields, job.lane, *times, tuple(self.held.items()), self.over, self.ends


Move = tuple[str, Callable[[World], None]]


def moves(world: World) -> Iterator[Move]:
    """What may happen next."""
    for worker in WORKERS:
        yield f"{worker} claims", lambda w, a=worker: do_claim(w, a)
        yield f"{worker} rescues", lambda w, a=worker: do_rescue(w, a)
        yield f"{worker} recovers", lambda w, a=worker: do_recover(w, a)
        for delivery in world.held[worker]:
            yield f"{worker} renews {delivery}", lambda w, a=worker, d=delivery: do_renew(w, a, d)
            for ending, delay in ENDINGS:
                name = f"{worker} settles {delivery}: {ending} after {delay}"
                outcome = Outcome(held=Held("work", JOB, delivery), ending=ending, delay=delay)
                yield name, lambda w, a=worker, o=outcome: do_settle(w, a, o)
    yield "time passes", do_wait
    yield "stage", lambda w: do_stage(w)
    yield "cancel", do_cancel


def do_claim(world: World, worker: str) -> None:
    before = world.job.delivery
    jobs, _, _ = claim(world.queue, world.now, worker, worker, 1)
    for job in jobs:
        assert job.delivery == before + 1
        world.held[worker] += (job.delivery,)


def do_recover(world: World, worker: str) -> None:
    jobs = recover(world.queue, world.now, worker, ())
    assert all(job.delivery in world.held[worker] for job in jobs), "it was never handed that"
    assert all(job.delivery not in world.over for job in jobs)


def do_renew(world: World, worker: str, delivery: int) -> None:
    held = Held("work", JOB, delivery)
    lost = any(revoked.lost for revoked in renew(world.queue, world.now, worker, [held]))
    assert lost == (delivery in world.over)
    if not lost:
        assert rescue(world.queue, world.now, "c", LEASE, world.now).requeued == []


def do_settle(world: World, worker: str, outcome: Outcome) -> None:
    delivery = outcome.held.delivery
    answer = settle(world.queue, world.now, worker, outcome)
    assert (answer is Settled.APPLIED) == (delivery not in world.over), answer
    world.over |= {delivery}


def do_rescue(world: World, worker: str) -> None:
    owner, delivery, idle = world.job.worker, world.job.delivery, world.now - world.job.renewed
    ran = world.job.status is JobStatus.RUNNING
    rescue(world.queue, world.now, worker, LEASE, world.now)
    taken = ran and world.job.status is not JobStatus.RUNNING
    assert taken == (ran and owner != worker and idle >= LEASE)
    if taken:
        world.over |= {delivery}


def do_wait(world: World) -> None:
    world.now += LEASE


def do_stage(world: World) -> None:
    stage(world.queue, world.now, "work")


def do_cancel(world: World) -> None:
    cancel(world.queue, world.now, JOB, "why", "")


def check(before: JobStatus, delivery: int, world: World) -> None:
    """What holds after every step."""
    job, queue = world.job, world.queue
    assert job.status is before or before.can_transition_to(job.status)
    assert job.delivery >= delivery, "a fence fell"
    places = {
        JobStatus.QUEUED: [job] == list(queue.lanes),
        JobStatus.SCHEDULED: JOB in queue.scheduled,
        JobStatus.RUNNING: [job] == queue.held(),
    }
    assert [status for status, there in places.items() if there] == [
        status for status in places if status is job.status
    ], "a job is in one place, and in none when it is over"
    world.ends += sum(JobStatus(e["type"]).is_terminal() for e in queue.events if e["type"] in ENDS)
    queue.events.clear()
    assert world.ends == job.status.is_terminal(), "a job ends once"
    fits = [
        (worker, number)
        for worker in WORKERS
        for number in world.held[worker]
        if job.is_held(worker, number)
    ]
    assert len(fits) == (job.status is JobStatus.RUNNING and job.worker in WORKERS)
    assert (queue.holders == {}) == job.status.is_terminal(), "the key is held until the end"


ENDS = {status.value for status in JobStatus if status.is_terminal()}


def drain(world: World) -> None:
    """Whatever happened before, a third worker brings the job to its end."""
    queue = world.queue
    world.now += LEASE
    stage(queue, world.now, "work")
    rescue(queue, world.now, "c", LEASE, world.now)
    jobs, _, _ = claim(queue, world.now, "c", "c", 1)
    for job in jobs:
        over = Outcome(held=Held("work", JOB, job.delivery), ending=Ending.COMPLETE)
        assert settle(queue, world.now, "c", over) is Settled.APPLIED
    assert world.job.status.is_terminal(), "nobody can bring this job to its end"
    assert (len(queue.lanes), queue.scheduled, queue.holders) == (0, {}, {})


def start() -> World:
    queue = Queue("P", Bounds(most_rescues=3), Channels())
    new = NewJob(id=JOB, function="work", arguments=b"", key="k", budget=6 * LEASE)
    enqueue(queue, 0, [new])
    queue.events.clear()
    return World(queue)


@pytest.mark.hard_limit(120)
def test_two_workers_and_one_job_in_every_order() -> None:
    level = {start().key(): ((), pickle.dumps(start()))}
    seen = set(level)
    for _ in range(DEPTH):
        following: dict[object, tuple[tuple[str, ...], bytes]] = {}
        for path, frozen in level.values():
            for name, act in moves(pickle.loads(frozen)):
                world: World = pickle.loads(frozen)
                before, delivery = world.job.status, world.job.delivery
                try:
                    act(world)
                    check(before, delivery, world)
                    if world.key() in seen:
                        continue
                    seen.add(world.key())
                    following[world.key()] = (*path, name), pickle.dumps(world)
                    drain(world)
                except AssertionError as error:
                    error.add_note("the way here: " + ", then ".join((*path, name)))
                    raise
        level = following
    assert len(seen) > 1_000, "the search did not get far"
