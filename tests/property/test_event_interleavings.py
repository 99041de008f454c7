"""Every order in which two routers can act on an event, die and come back, to a fixed depth.

Breadth first over the states of the model; two ways that lead to the same state are followed once.
A router's round is taken apart into its calls, and each call may be the last one it makes.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator

import pytest
from attrs import define, field

from upnext.model.event import Concluded, NewEvent, Routing, TakenEvent
from upnext.model.identity import handler_job_id
from upnext.model.job import NewJob
from upnext.store.bounds import Bounds
from upnext.testing.memory_store.channels import Channels
from upnext.testing.memory_store.conclude import conclude
from upnext.testing.memory_store.enqueue import enqueue
from upnext.testing.memory_store.events import Events
from upnext.testing.memory_store.queue import Queue
from upnext.testing.memory_store.send import send
from upnext.testing.memory_store.take import take

DEPTH = 10
LEASE = 1_000
EVENT = "evt_" + "1" * 32
HANDLERS = ("mail", "stock")
ROUTERS = ("a", "b")


@define
class World:
    """The store, the time, and where each router stands in its round.

    Attributes:
        queues: Those of the handlers; `mail` has room for no job until somebody makes some.
        rounds: Router -> the event it took, and the handlers it has seen to; None: between rounds.
        failed: Routers whose last round was cut off, and who ask for their own again.
        conclusions: How often the event was concluded for good.
    """

    board: Events
    queues: dict[str, Queue]
    now: int = 0
    rounds: dict[str, tuple[TakenEvent, tuple[str, ...], tuple[str, ...]] | None] = field(
        factory=lambda: dict.fromkeys(ROUTERS)
    )
    failed: frozenset[str] = frozenset()
    conclusions: int = 0
    created: int = 0

    def key(self) -> object:
        """What two worlds must share to have the same future."""
        record = next(iter(self.board.sent.values()), None)
        state = record and (record.owner, min(LEASE, self.now - record.taken_at), record.done)
        rounds = tuple(
            one and (one[0].done, one[1], one[2]) for one in (self.rounds[r] for r in ROUTERS)
        )
        jobs = tuple(sorted(job for queue in self.queues.values() for job in queue.jobs))
        full = self.queues["mail"].bounds.most_waiting
        return state, rounds, self.failed, jobs, full, self.conclusions, self.created


Move = tuple[str, Callable[[World], None]]


def moves(world: World) -> Iterator[Move]:
    """What may happen next."""
    for router in ROUTERS:
        round_ = world.rounds[router]
        if round_ is None:
            yield f"{router} takes", lambda w, r=router: do_take(w, r)
            yield f"{router} takes, and its answer is lost", lambda w, r=router: do_lose(w, r)
            continue
        event, done, full = round_
        for handler in HANDLERS:
            if handler not in {*done, *full, *event.done}:
                yield (
                    f"{router} submits to {handler}",
                    lambda w, r=router, h=handler: do_submit(w, r, h),
                )
        if {*done, *full, *event.done} == set(HANDLERS):
            yield f"{router} concludes", lambda w, r=router: do_conclude(w, r)
        yield f"{router} is cut off", lambda w, r=router: do_fail(w, r)
        yield f"{router} dies", lambda w, r=router: do_die(w, r)
    yield "time passes", do_wait
    yield "mail has room", do_make_room
    yield "it is sent again", lambda w: void(send(w.board, w.now, [an_event()]))


def void(_: object) -> None: ...


def an_event() -> NewEvent:
    return NewEvent(id=EVENT, name="order.paid", data=b"{}")


def lend(world: World, router: str) -> list[TakenEvent]:
    own = router in world.failed
    return take(world.board, world.now, router, router, 9, LEASE, "", own=own, left=True).events


def do_take(world: World, router: str) -> None:
    events = lend(world, router)
    world.failed -= {router}
    for event in events:
        world.rounds[router] = (event, (), ())


def do_lose(world: World, router: str) -> None:
    lend(world, router)
    world.failed |= {router}


def do_submit(world: World, router: str, handler: str) -> None:
    round_ = world.rounds[router]
    assert round_ is not None
    event, done, full = round_
    job_id = handler_job_id(handler, event.id)
    queue, before = world.queues[handler], len(world.queues[handler].jobs)
    [answer] = enqueue(queue, world.now, [NewJob(id=job_id, function=handler, arguments=b"")])
    world.created += len(queue.jobs) - before
    if isinstance(answer, Exception):
        full = (*full, handler)
    else:
        done = (*done, handler)
    world.rounds[router] = (event, tuple(sorted(done)), full)


def do_conclude(world: World, router: str) -> None:
    round_ = world.rounds[router]
    assert round_ is not None
    event, done, full = round_
    routing = Routing.PARTIAL if full else Routing.ROUTED
    one = Concluded(
        entry=event.entry, id=event.id, routing=routing, done=event.done | frozenset(done)
    )
    record = next(iter(world.board.sent.values()), None)
    owner = None if record is None else record.owner
    [mine] = conclude(world.board, world.now, router, [one])
    assert mine == (owner == router), "the fence"
    world.conclusions += mine and not full
    world.rounds[router] = None


def do_fail(world: World, router: str) -> None:
    world.rounds[router] = None
    world.failed |= {router}


def do_die(world: World, router: str) -> None:
    world.rounds[router] = None
    world.failed -= {router}  # another one starts, which knows nothing


def do_wait(world: World) -> None:
    world.now += LEASE


def do_make_room(world: World) -> None:
    world.queues["mail"].bounds = Bounds()


def check(world: World) -> None:
    """What holds after every step."""
    jobs = {job for queue in world.queues.values() for job in queue.jobs}
    assert world.created == len(jobs), "a handler got its job twice"
    assert world.conclusions + len(world.board.sent) == 1, "the event is gone, or there twice"
    if world.conclusions:
        assert jobs == {handler_job_id(name, EVENT) for name in HANDLERS}, "concluded too early"


def drain(world: World) -> None:
    """Whatever happened before, a third router brings the event to all handlers."""
    do_make_room(world)
    world.now += LEASE
    world.rounds["c"] = None
    do_take(world, "c")
    round_ = world.rounds["c"]
    if round_ is not None:
        for handler in HANDLERS:
            if handler not in round_[0].done:
                do_submit(world, "c", handler)
        do_conclude(world, "c")
    check(world)
    assert world.conclusions == 1, "nobody can bring this event to its handlers"


def start() -> World:
    # One job of somebody else's fills the queue of `mail`.
    queues = {name: Queue(name, Bounds(most_waiting=1), Channels()) for name in HANDLERS}
    enqueue(queues["mail"], 0, [NewJob(id="mail-other", function="mail", arguments=b"")])
    del queues["mail"].jobs["mail-other"]
    board = Events("E", Bounds(), Channels())
    board.handlers = dict.fromkeys(HANDLERS, b"")
    send(board, 0, [an_event()])
    return World(board, queues)


@pytest.mark.hard_limit(120)
def test_two_routers_and_one_event_in_every_order() -> None:
    level: dict[object, tuple[tuple[str, ...], bytes]] = {
        start().key(): ((), pickle.dumps(start()))
    }
    seen = set(level)
    for _ in range(DEPTH):
        following: dict[object, tuple[tuple[str, ...], bytes]] = {}
        for path, frozen in level.values():
            for name, act in moves(pickle.loads(frozen)):
                world: World = pickle.loads(frozen)
                try:
                    act(world)
                    check(world)
                    if world.key() in seen:
                        continue
                    seen.add(world.key())
                    following[world.key()] = (*path, name), pickle.dumps(world)
                    drain(world)
                except AssertionError as error:
                    error.add_note("the way here: " + ", then ".join((*path, name)))
                    raise
        level = following
    assert len(seen) > 300, "the search did not get far"
