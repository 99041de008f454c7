"""What an API served is counted once, kept for its time, and read back as it was counted."""

from __future__ import annotations

import pytest

from tests.conformance.subject import KEYS, ServerSubject, Subject
from upnext.contracts.api_instances import ApiInstance
from upnext.model.traffic import (
    MOST_ENDPOINTS,
    OTHERS,
    Period,
    Sighting,
    Tally,
    TrafficBatch,
    TrafficRow,
)
from upnext.store.store import Store

MINUTE = 60_000
HOUR = 60 * MINUTE


def tally(*requests: tuple[int, float]) -> Tally:
    counted = Tally()
    for status, seconds in requests:
        counted.add(status, seconds)
    return counted


def row(endpoint: str, *requests: tuple[int, float], age: int = 0) -> TrafficRow:
    return TrafficRow(age, endpoint, tally(*(requests or ((200, 0.01),))))


def seen(path: str, status: int = 200, seconds: float = 0.01, *, sampled: bool = True) -> Sighting:
    return Sighting(0.0, "GET", path, status, seconds, sampled)


async def write(store: Store, sequence: int, *rows: TrafficRow, writer: str = "p1") -> bool:
    return await store.track("shop", writer, TrafficBatch(sequence=sequence, rows=rows))


async def note(store: Store, sequence: int, *paths: str, kept: int = 100) -> None:
    batch = TrafficBatch(
        sequence=sequence, rows=[], requests=[(0, seen(path)) for path in paths], kept=kept
    )
    assert await store.track("shop", "p1", batch)


async def counts(
    store: Store, period: Period = Period.MINUTE, count: int = 1, until: int | None = None
) -> dict[str, int]:
    found = await store.traffic("shop", period, count, until)
    return {one.endpoint: one.tally.requests for one in found}


def record(instance: str) -> bytes:
    return ApiInstance(
        id=instance,
        api_name="shop",
        started_at=1.5,
        last_heartbeat=2.5,
        host="0.0.0.0",
        port=8000,
        endpoints=["GET /orders/{id}"],
        hostname="box",
        pid=7,
    ).pack()


async def test_what_is_written_is_read_by_minute_and_by_hour(store: Store) -> None:
    a = row("GET /a", (200, 0.002), (404, 0.2), (500, 61.0), (499, 3.0))
    b = row("POST /b", (201, 0.00001))
    assert await write(store, 1, a, b)
    for period in Period:
        found = await store.traffic("shop", period, 1)
        assert [one.endpoint for one in found] == ["GET /a", "POST /b"]
        assert [one.tally for one in found] == [a.tally, b.tally]
    assert (found[0].method, found[0].path) == ("GET", "/a")
    assert (found[0].tally.errors, found[0].tally.gone) == (3, 1)
    assert await store.traffic("other", Period.HOUR, 1) == []


async def test_processes_and_batches_add_up(store: Store) -> None:
    await write(store, 1, row("GET /a", (200, 0.1)))
    await write(store, 2, row("GET /a", (200, 0.1), (503, 2.0)))
    await write(store, 1, row("GET /a", (200, 4.0)), writer="p2")
    [one] = await store.traffic("shop", Period.MINUTE, 1)
    assert one.tally == tally((200, 0.1), (200, 0.1), (503, 2.0), (200, 4.0))
    [total] = await store.trend("shop", Period.MINUTE, 1)
    assert total.tally == one.tally


async def test_a_batch_that_is_repeated_counts_once(store: Store) -> None:
    batch = TrafficBatch(sequence=3, rows=[row("GET /a")], requests=[(0, seen("/a"))])
    assert await store.track("shop", "p1", batch)
    assert not await store.track("shop", "p1", batch)
    assert not await write(store, 2, row("GET /a"))
    assert await counts(store) == {"GET /a": 1}
    assert len(await store.requests("shop")) == 1
    assert await store.track("shop", "p2", batch)
    assert await write(store, 4, row("GET /a"))
    assert await counts(store) == {"GET /a": 3}


async def test_counts_are_of_when_they_were_made(store: Store, subject: Subject) -> None:
    now = subject.now
    await write(store, 1, row("GET /a"), row("GET /a", age=2 * MINUTE), row("GET /b", age=HOUR))
    trend = await store.trend("shop", Period.MINUTE, 4)
    assert [one.at for one in trend] == [(now // MINUTE - 3 + n) * MINUTE for n in range(4)]
    assert [one.tally.requests for one in trend] == [0, 1, 0, 1]
    hours = await store.trend("shop", Period.HOUR, 2, "GET /b")
    assert [one.tally.requests for one in hours] == [1, 0]
    found = {one.endpoint: one.last_at for one in await store.traffic("shop", Period.HOUR, 2)}
    assert 0 <= found["GET /a"] - now <= 100
    assert 0 <= found["GET /b"] - (now - HOUR) <= 100


async def test_a_range_ends_when_it_is_asked_to(store: Store, subject: Subject) -> None:
    then = subject.now
    await write(store, 1, row("GET /a"))
    subject.advance(10 * MINUTE)
    await write(store, 2, row("GET /a"), row("GET /b"))
    assert await counts(store, count=5) == {"GET /a": 1, "GET /b": 1}
    assert await counts(store, count=11) == {"GET /a": 2, "GET /b": 1}
    assert await counts(store, count=5, until=then) == {"GET /a": 1}
    [past] = await store.trend("shop", Period.MINUTE, 1, until=then)
    assert past.tally.requests == 1


async def test_minutes_are_kept_for_two_hours_and_hours_for_thirty_days(
    store: Store, subject: Subject
) -> None:
    await write(store, 1, row("GET /a"))
    subject.advance(2 * HOUR - MINUTE)
    assert await counts(store, count=130) == {"GET /a": 1}
    subject.advance(3 * MINUTE)
    assert await counts(store, count=130) == {}
    assert await counts(store, Period.HOUR, 720) == {"GET /a": 1}
    subject.advance(29 * 24 * HOUR)
    assert await counts(store, Period.HOUR, 720) == {"GET /a": 1}
    subject.advance(2 * 24 * HOUR)
    assert await counts(store, Period.HOUR, 800) == {}
    assert sum(one.tally.requests for one in await store.trend("shop", Period.HOUR, 800)) == 0


async def test_beyond_so_many_endpoints_the_rest_is_one(store: Store, subject: Subject) -> None:
    for part in range(2):
        rows = [row(f"GET /{n}") for n in range(part * 500, part * 500 + 500)]
        await write(store, 1 + part, *rows)
    await write(store, 3, row("GET /new"), row("GET /newer"), row("GET /0"))
    found = await counts(store)
    assert len(found) == MOST_ENDPOINTS + 1
    assert (found[OTHERS], found["GET /0"]) == (2, 2)
    subject.advance(31 * 24 * HOUR)  # those that are not called any more make room
    await write(store, 4, row("GET /new"))
    assert await counts(store) == {"GET /new": 1}


async def test_single_requests_are_read_backwards_and_onwards(
    store: Store, subject: Subject
) -> None:
    batch = TrafficBatch(
        sequence=1,
        rows=[],
        requests=[(1500, seen("/a", 404, 0.0125, sampled=False)), (0, seen("/b"))],
    )
    await store.track("shop", "p1", batch)
    await note(store, 2, "/c", "/d", "/e")
    newest = await store.requests("shop")
    assert [one.path for one in newest] == ["/e", "/d", "/c", "/b", "/a"]
    first = newest[-1]
    assert (first.api, first.instance, first.method) == ("shop", "p1", "GET")
    assert (first.status, first.latency_ms, first.sampled) == (404, 12.5, False)
    assert 0 <= first.at - (subject.now - 1500) <= 100
    page = await store.requests("shop", most=2)
    older = await store.requests("shop", before=page[-1].id, most=2)
    assert [one.path for one in page + older] == ["/e", "/d", "/c", "/b"]
    later = await store.requests("shop", after=first.id, most=3)
    assert [one.path for one in later] == ["/b", "/c", "/d"]
    assert await store.requests("shop", after=newest[0].id) == []
    between = await store.requests("shop", after=first.id, before=newest[1].id)
    assert [one.path for one in between] == ["/b", "/c"]
    assert await store.requests("other") == []


@pytest.mark.parametrize("place", ["now", "1-", "(1", "-1"])
async def test_a_place_that_is_none_is_refused(store: Store, place: str) -> None:
    with pytest.raises(ValueError, match="not the id of a request"):
        await store.requests("shop", after=place)
    with pytest.raises(ValueError, match="not the id of a request"):
        await store.requests("shop", before=place)


async def test_a_range_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="count must be 1 or more"):
        await store.traffic("shop", Period.MINUTE, 0)
    with pytest.raises(ValueError, match="count must be 1 or more"):
        await store.trend("shop", Period.MINUTE, 0)


async def test_only_the_newest_requests_are_kept(store: Store) -> None:
    await note(store, 1, *[f"/{n}" for n in range(7)], kept=5)
    await note(store, 2, "/7", "/8", kept=5)
    found = await store.requests("shop")
    assert [one.path for one in found] == ["/8", "/7", "/6", "/5", "/4"]


async def test_paths_may_be_anything_a_client_sends(store: Store) -> None:
    await note(store, 1, "/\udcff", "/a b\n\x00ü")
    newest, _ = await store.requests("shop")
    assert newest.path == "/a b\n\x00ü"
    assert await write(store, 2, row("GET /\udcff"))
    assert list((await counts(store)).values()) == [1]


async def test_an_instance_is_there_until_it_is_silent_or_leaves(
    store: Store, subject: Subject
) -> None:
    assert not await store.present("shop", "i1", record("i1"), 30_000)
    assert not await store.present("shop", "i2", record("i2"), 30_000)
    assert not await store.present("mail", "i3", record("i3"), 30_000)
    assert [one.id for one in await store.api_instances("shop")] == ["i1", "i2"]
    assert (await store.api_instances("shop"))[0] == ApiInstance.parse(record("i1"))
    subject.advance(20_000)
    assert await store.present("shop", "i1", record("i1"), 30_000)
    subject.advance(20_000)
    assert [one.id for one in await store.api_instances("shop")] == ["i1"]
    assert not await store.present("shop", "i2", record("i2"), 30_000)
    await store.leave("shop", "i1")
    await store.leave("shop", "unheard of")
    assert [one.id for one in await store.api_instances("shop")] == ["i2"]


async def test_apis_are_listed_for_as_long_as_their_counts_are_kept(
    store: Store, subject: Subject
) -> None:
    assert await store.apis() == []
    await store.present("shop", "i1", record("i1"), 30_000)
    await store.present("Größe: 1", "i2", record("i2"), 30_000)
    await store.leave("shop", "i1")
    subject.advance(29 * 24 * HOUR)
    assert await store.apis() == ["Größe: 1", "shop"]
    await store.present("shop", "i1", record("i1"), 30_000)
    subject.advance(2 * 24 * HOUR)
    assert await store.apis() == ["shop"]


async def test_a_record_of_another_release_hides_no_other(store: Store) -> None:
    await store.present("shop", "i1", b'{"id": "i1"}', 30_000)
    await store.present("shop", "i2", record("i2"), 30_000)
    assert [one.id for one in await store.api_instances("shop")] == ["i2"]


async def test_everything_of_an_api_has_one_hash_tag_and_an_end(server: ServerSubject) -> None:
    store = server.store
    batch = TrafficBatch(sequence=1, rows=[row("GET /a")], requests=[(0, seen("/a"))])
    await store.track("shop", "p1", batch)
    await store.present("shop", "p1", record("p1"), 30_000)
    found = [key.decode() for key in server.client.keys("*")]
    assert {key[: key.index("}") + 1] for key in found} == {
        "upnext:{conformance:@@shop}",
        "upnext:{conformance:@@}",
    }
    assert len(found) == 4 + 1 + 1 + 1 + 2 + 2
    assert min(server.client.pttl(key) for key in found) > 0


async def test_a_damaged_key_does_not_hold_up_the_rest(server: ServerSubject) -> None:
    prefix = KEYS.api("shop")
    server.client.set(prefix + "requests", "x")
    server.client.set(f"{prefix}h:{server.now // HOUR}:GET /a", "x")
    batch = TrafficBatch(
        sequence=1, rows=[row("GET /a"), row("GET /b")], requests=[(0, seen("/a"))]
    )
    assert await server.store.track("shop", "p1", batch)
    assert await counts(server.store) == {"GET /a": 1, "GET /b": 1}
    assert await counts(server.store, Period.HOUR) == {"GET /b": 1}


async def test_a_long_range_of_many_endpoints_is_read_in_parts(server: ServerSubject) -> None:
    await write(server.store, 1, *[row(f"GET /{n}") for n in range(40)])
    assert await counts(server.store, Period.HOUR, 700) == {f"GET /{n}": 1 for n in range(40)}
    called = server.client.info("commandstats")["cmdstat_fcall"]["calls"]
    await counts(server.store, Period.HOUR, 700)
    again = server.client.info("commandstats")["cmdstat_fcall"]["calls"]
    assert again - called == 20
