"""What sending, taking and concluding events promise."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.conformance.subject import KEYS, ServerSubject, Subject
from upnext.errors import EventRefusedError
from upnext.model.event import Concluded, NewEvent, Routing, Sent, TakenEvent
from upnext.model.identity import new_event_id
from upnext.store.store import Store

LEASE = 10_000
ROLL = {"mail": b'{"pattern":"order.*"}', "stock": b'{"pattern":"order.paid"}'}


def event(name: str = "order.paid", **fields: Any) -> NewEvent:
    fields.setdefault("data", b"{}")
    return NewEvent(id=new_event_id(), name=name, **fields)


async def sent(store: Store, *events: NewEvent) -> None:
    """Send events that are to be stored."""
    assert await store.send(events) == [Sent(one.id, True) for one in events]


async def take(store: Store, router: str = "r1", count: int = 10, **how: bool) -> list[TakenEvent]:
    return (await store.take(router, count, LEASE, **how)).events


def over(one: TakenEvent, routing: Routing = Routing.ROUTED, *done: str) -> Concluded:
    return Concluded(entry=one.entry, id=one.id, routing=routing, done=frozenset(done))


async def test_an_event_is_taken_as_it_was_sent(store: Store, subject: Subject) -> None:
    data = b'{"n":9007199254740993,"xs":[],"s":"\\u0000"}'
    await sent(store, event(data=data, parent_id="p-1", root_id="r-1", deadline=99))
    await sent(store, event("a"))
    first, second = await take(store)
    assert (first.name, first.data) == ("order.paid", data)
    assert (first.parent_id, first.root_id, first.deadline) == ("p-1", "r-1", 99)
    assert abs(first.sent_at - subject.now) < 100
    assert (second.name, second.parent_id, second.root_id, second.deadline) == ("a", "", "", None)
    assert second.done == frozenset()


async def test_events_are_taken_in_the_order_they_were_sent(store: Store) -> None:
    events = [event(f"e{n}") for n in range(300)]
    await sent(store, *events)
    taken = await store.take("r1", 120, LEASE)
    assert taken.more
    assert [one.id for one in taken.events] == [one.id for one in events[:120]]
    rest = await store.take("r2", 500, LEASE)
    assert not rest.more
    assert [one.id for one in rest.events] == [one.id for one in events[120:]]


async def test_sending_an_event_again_changes_nothing(store: Store, subject: Subject) -> None:
    one = event()
    await sent(store, one)
    await sent(store, one)
    [taken] = await take(store)
    await store.conclude("r1", [over(taken)])
    subject.advance(60_000)
    await sent(store, one)
    assert await take(store) == []


async def test_a_key_stands_for_one_event_for_a_time(store: Store, subject: Subject) -> None:
    first, again, other = event(key="k"), event(key="k"), event("order.sent", key="k")
    await sent(store, first)
    assert await store.send([again, other]) == [Sent(first.id, False), Sent(other.id, True)]
    for taken in await take(store):
        await store.conclude("r1", [over(taken)])
    assert await store.send([event(key="k")]) == [Sent(first.id, False)]  # routed, and yet
    subject.advance(store.bounds.record_ttl + 1_000)
    later = event(key="k")
    await sent(store, later)
    assert [one.id for one in await take(store)] == [later.id]


async def test_a_full_store_refuses_events_and_drops_nothing(subject: Subject) -> None:
    store = subject.rebind(most_waiting=2)
    events = [event(), event(), event()]
    *_, refused = await store.send(events)
    assert isinstance(refused, EventRefusedError)
    assert refused.event_id == events[2].id
    taken = await take(store)
    assert [one.id for one in taken] == [events[0].id, events[1].id]
    assert isinstance((await store.send([events[2]]))[0], EventRefusedError)  # they still wait
    await store.conclude("r1", [over(one) for one in taken])
    await sent(store, events[2])


async def test_only_its_router_concludes_an_event_and_only_once(store: Store) -> None:
    await sent(store, event(), event())
    first, second = await take(store)
    assert await store.conclude("r2", [over(first)]) == [False]
    assert await store.conclude("r1", [over(first), over(second)]) == [True, True]
    assert await store.conclude("r1", [over(first), over(second)]) == [False, False]
    assert (await store.survey()).waiting == 0


async def test_what_a_dead_router_held_is_taken_over_after_its_lease(
    store: Store, subject: Subject
) -> None:
    await sent(store, event())
    [held] = await take(store, "dead")
    subject.advance(LEASE - 100)
    assert await take(store, "r1", left=True) == []
    subject.advance(100)
    assert await take(store, "r1") == []  # not asked for
    [found] = await take(store, "r1", left=True)
    assert found.id == held.id
    assert await store.conclude("dead", [over(held)]) == [False]
    assert await take(store, "r2", left=True) == []  # the lease begins anew
    assert await store.conclude("r1", [over(found)]) == [True]


async def test_after_the_clock_was_set_back_a_dead_routers_lease_runs_out_one_lease_later(
    store: Store, subject: Subject
) -> None:
    await sent(store, event())
    [held] = await take(store, "dead")
    subject.advance(-3_600_000)
    assert await take(store, "r1", left=True) == []
    subject.advance(LEASE - 100)
    assert await take(store, "r1", left=True) == []
    subject.advance(100)
    assert [one.id for one in await take(store, "r1", left=True)] == [held.id]


async def test_a_router_is_given_again_what_it_holds(store: Store, subject: Subject) -> None:
    await sent(store, event(), event(), event())
    held = await take(store, "r1", 2)
    await take(store, "r2", 2)
    subject.advance(LEASE - 100)
    again = await take(store, "r1", own=True)
    assert [one.id for one in again] == [one.id for one in held]
    subject.advance(200)
    assert len(await take(store, "r3", left=True)) == 1  # that of r2; those of r1 were renewed


async def test_what_is_asked_for_comes_out_of_own_left_and_new_together(
    store: Store, subject: Subject
) -> None:
    events = [event(f"e{n}") for n in range(6)]
    await sent(store, *events[:4])
    await take(store, "dead", 2)
    subject.advance(LEASE)
    await take(store, "r1", 2)
    await sent(store, *events[4:])
    taken = await store.take("r1", 5, LEASE, own=True, left=True)
    names = [one.name for one in taken.events]
    assert (sorted(names), taken.more) == (["e0", "e1", "e2", "e3", "e4"], True)


async def test_a_partial_routing_is_taken_again_after_the_lease_and_knows_who_is_done(
    store: Store, subject: Subject
) -> None:
    await sent(store, event())
    [held] = await take(store)
    assert await store.conclude("r1", [over(held, Routing.PARTIAL, "mail", "stock")]) == [True]
    assert await take(store, "r2", left=True) == []
    subject.advance(LEASE)
    [again] = await take(store, "r2", left=True)
    assert (again.id, again.done) == (held.id, {"mail", "stock"})
    assert await store.conclude("r1", [over(held, Routing.PARTIAL)]) == [False]
    assert await store.conclude("r2", [over(again)]) == [True]


async def test_an_event_that_nobody_handles_is_kept_for_a_time(
    store: Store, subject: Subject
) -> None:
    one = event("nobody.cares", data=b'{"n":1}', parent_id="p-1")
    when = subject.now
    await sent(store, one, event("nobody.else"))
    subject.advance(5_000)
    first, second = await take(store)
    await store.conclude("r1", [over(first, Routing.UNHANDLED)])
    await store.conclude("r1", [over(second, Routing.UNHANDLED)])
    view = await store.survey(1)
    assert (view.waiting, view.oldest) == (0, None)
    assert [found.name for found in view.unhandled] == ["nobody.else"]  # the newest
    *_, kept = (await store.survey()).unhandled
    assert (kept.id, kept.name, kept.data, kept.parent_id) == (
        one.id, "nobody.cares", b'{"n":1}', "p-1",
    )  # fmt: skip
    assert abs(kept.sent_at - when) < 100
    subject.advance(store.bounds.unhandled_ttl - 1_000)
    assert len((await store.survey()).unhandled) == 2
    subject.advance(2_000)
    assert (await store.survey()).unhandled == []


async def test_of_those_nobody_handles_a_bounded_number_is_kept(subject: Subject) -> None:
    store = subject.rebind(unhandled_kept=200)
    for _ in range(10):
        await sent(store, *(event("lost") for _ in range(100)))
        taken = await take(store, count=100)
        await store.conclude("r1", [over(one, Routing.UNHANDLED) for one in taken])
    assert 200 <= len((await store.survey(10_000)).unhandled) <= 400


async def test_waiting_events_expire_only_where_there_is_no_handler_at_all(
    store: Store, subject: Subject
) -> None:
    await store.enlist(ROLL, starts=True)
    waits = event()
    await sent(store, waits)
    days = store.bounds.handler_ttl // 4
    for _ in range(8):
        subject.advance(days)
        await store.enlist(ROLL)
        await sent(store, event())
    assert (await take(store))[0].id == waits.id
    await store.enlist({}, off=list(ROLL))
    await sent(store, event("late"))
    view = await store.survey()
    assert view.oldest is not None
    assert view.oldest >= subject.now - store.bounds.unhandled_ttl


async def test_the_roll_is_told_when_it_changed(store: Store) -> None:
    assert (await store.take("r1", 1, LEASE)).handlers is None  # none, and none known
    await store.enlist(ROLL, starts=True)
    first = await store.take("r1", 1, LEASE)
    assert first.handlers == ROLL
    assert (await store.take("r1", 1, LEASE, first.version)).handlers is None
    await store.enlist(ROLL, starts=True)  # the same
    assert (await store.take("r1", 1, LEASE, first.version)).handlers is None
    await store.enlist({"more": b"x"}, starts=True)
    second = await store.take("r1", 1, LEASE, first.version)
    assert second.handlers == {**ROLL, "more": b"x"}
    assert (await store.take("r1", 1, LEASE, first.version)).version == second.version
    assert await store.enlist({}, off=["more", "nobody"]) == 1
    assert (await store.take("r1", 1, LEASE, second.version)).handlers == ROLL


async def test_the_worker_that_started_last_says_what_a_handler_listens_to(store: Store) -> None:
    await store.enlist({"mail": b"old"}, starts=True)
    await store.enlist({"mail": b"new"}, starts=True)
    await store.enlist({"mail": b"old"})  # an old worker that still runs
    assert (await store.take("r1", 1, LEASE)).handlers == {"mail": b"new"}


async def test_a_handler_that_nobody_declares_any_more_is_forgotten(
    store: Store, subject: Subject
) -> None:
    await store.enlist(ROLL, starts=True)
    live = store.bounds.handler_ttl
    subject.advance(live // 2)
    await store.enlist({"mail": ROLL["mail"]})
    subject.advance(live // 2 - 1_000)
    version = (await store.take("r1", 1, LEASE)).version
    assert (await store.survey()).handlers == ROLL
    subject.advance(2_000)
    taken = await store.take("r1", 1, LEASE, version)
    assert taken.handlers == {"mail": ROLL["mail"]}
    subject.advance(live)
    assert (await store.survey()).handlers == {}


async def test_a_send_wakes_one_router_and_only_one_that_has_nothing_to_do(store: Store) -> None:
    heard: list[bytes] = []
    await store.subscribe(KEYS.worker_channel("r1"), heard.append, lambda: None).ready()
    await sent(store, event())
    await store.now()
    assert heard == []
    await take(store)
    await sent(store, event())
    await sent(store, event())
    await store.now()
    assert heard == [f"work {KEYS.events}".encode()]
    await take(store, count=2)  # all it asked for: it comes again by itself
    await sent(store, event())
    await store.now()
    assert len(heard) == 1


async def test_a_wake_is_handed_on_and_a_worker_that_retires_gets_none(store: Store) -> None:
    heard: list[str] = []
    for name in ("r1", "r2"):

        def hear(_: bytes, name: str = name) -> None:
            heard.append(name)

        await store.subscribe(KEYS.worker_channel(name), hear, lambda: None).ready()
        await take(store, name)
    await sent(store, event())
    await store.now()
    [first] = heard
    await store.take(first, 0, LEASE)
    await store.now()
    assert sorted(heard) == ["r1", "r2"]
    heard.clear()
    await take(store, "r1")
    await store.retire("r1", [])
    await sent(store, event())
    await store.now()
    assert heard == []


async def test_large_events_are_taken_in_several_goes(store: Store) -> None:
    data = b'"' + b"x" * (512 * 1024) + b'"'
    await sent(store, *(event(data=data) for _ in range(45)))
    sizes: list[int] = []
    while (taken := await store.take("r1", 100, LEASE)).events:
        sizes.append(len(taken.events))
    assert sizes == [10, 10, 10, 10, 5]


async def test_nothing_stays_of_routed_events_but_their_marks(server: ServerSubject) -> None:
    store = server.store
    await store.enlist(ROLL, starts=True)
    await sent(store, *(event(key=str(n)) for n in range(50)))
    for one in await take(store, count=50):
        await store.conclude("r1", [over(one, Routing.PARTIAL, "mail")])
        await store.conclude("r1", [over(one)])
    client = server.client
    left = {key.decode().removeprefix(KEYS.events) for key in client.scan_iter("*")}
    marks = {key for key in left if key.startswith(("seen:", "key:"))}
    assert len(marks) == 100
    assert min(client.pttl(KEYS.events + mark) for mark in marks) > 0
    assert left - marks == {"sent", "handlers", "declared", "version"}
    assert client.xlen(KEYS.events + "sent") == 0


async def test_foreign_entries_and_damaged_fields_are_lent_like_others(
    server: ServerSubject,
) -> None:
    await take(server.store)
    client, stream = server.client, KEYS.events + "sent"
    client.xadd(stream, {"what": "is this"})
    client.xadd(stream, {"id": "evt_x", "name": b"\xff", "data": "{", "deadline": "soon"})
    torn = {"parent": b"p\xff", "root": b"\xff", "deadline": "9" * 5_000}
    client.xadd(stream, {"id": "evt_y", "name": "n", **torn})
    first, second, third = await take(server.store)
    assert (first.id, first.name, first.data) == ("", "", b"")
    assert (second.id, second.name, second.deadline) == ("evt_x", "\ufffd", None)
    assert (third.id, third.parent_id, third.root_id) == ("evt_y", "p\ufffd", "\ufffd")
    assert third.deadline is None
    held = [over(one, Routing.UNHANDLED) for one in (first, second, third)]
    assert await server.store.conclude("r1", held) == [True] * 3
    assert len((await server.store.survey()).unhandled) == 3


async def test_an_event_of_very_many_fields_is_concluded_with_the_others(
    server: ServerSubject,
) -> None:
    await take(server.store)
    server.client.xadd(KEYS.events + "sent", {f"k{i}": "v" for i in range(4_500)})
    await sent(server.store, event())
    foreign, good = await take(server.store)
    concluded = [over(foreign, Routing.UNHANDLED), over(good)]
    assert await server.store.conclude("r1", concluded) == [True, True]
    [(_, kept)] = server.client.xrange(KEYS.events + "unhandled")
    assert (len(kept), kept[b"fields"]) == (1_002, b"4500")
    assert [found.sent_at for found in (await server.store.survey()).unhandled] == [foreign.sent_at]


async def test_a_full_server_refuses_events_and_routes_what_it_has(server: ServerSubject) -> None:
    store, client = server.store, server.client
    await sent(store, event(), event(), event())
    try:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            await store.send([event()])
        await store.enlist(ROLL, starts=True)
        first, second, third = await take(store)
        concluded = [over(first), over(second, Routing.UNHANDLED), over(third, Routing.PARTIAL)]
        assert await store.conclude("r1", concluded) == [True] * 3
        assert (await store.survey()).waiting == 1
    finally:
        client.config_set("maxmemory", 0)


async def test_after_a_lost_server_everything_begins_anew(server: ServerSubject) -> None:
    store = server.store
    await store.enlist(ROLL, starts=True)
    version = (await store.take("r1", 1, LEASE)).version
    server.client.flushall()
    server.advance(1_000)
    await sent(store, event())
    taken = await store.take("r1", 1, LEASE, version)
    assert (len(taken.events), taken.handlers) == (1, {})
    await store.enlist(ROLL)
    assert (await store.take("r1", 1, LEASE, version)).handlers == ROLL


def test_every_key_of_events_has_one_hash_tag_that_no_function_has() -> None:
    assert KEYS.events == "upnext:{conformance:@events}:"
    assert KEYS.function("@events") != KEYS.events
