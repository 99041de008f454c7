"""Quantiles stay within their bound, and no way of adding counts up loses or invents a request."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from upnext.api.tracking.backlog import MOST_SLICES, Backlog
from upnext.api.tracking.book import LONGEST_PATH, MOST_ENDPOINTS, MOST_SIGHTINGS, Book
from upnext.model.latency import BUCKETS, EDGES, MIDDLES, bucket_of, quantile
from upnext.model.traffic import OTHERS, Tally
from upnext.settings import ApiTrackingSettings

BOUND = 2 ** (1 / 8) - 1
"""How far off a quantile may be: half a bucket, of 2^(1/4)."""

latencies = st.floats(1e-4, 60.0)
anything = st.floats(0.0, 1e6)
statuses = st.sampled_from([100, 200, 204, 301, 404, 499, 500, 599]) | st.integers(0, 1200)
requests = st.lists(st.tuples(statuses, anything), max_size=40)


def counted(seconds: list[float]) -> list[int]:
    counts = [0] * BUCKETS
    for one in seconds:
        counts[bucket_of(one)] += 1
    return counts


def tally(of: list[tuple[int, float]]) -> Tally:
    made = Tally()
    for status, seconds in of:
        made.add(status, seconds)
    return made


@given(st.lists(latencies, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_a_tenth_of_the_true_one(seconds: list[float], part: float) -> None:
    true = sorted(seconds)[math.ceil(part * len(seconds)) - 1]
    assert abs(quantile(counted(seconds), part) / true - 1) <= BOUND + 1e-9 < 0.1


@given(anything)
def test_a_bucket_holds_what_is_between_its_edges(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert 0 <= bucket < BUCKETS
    assert bucket == 0 or EDGES[bucket - 1] <= seconds
    assert bucket == BUCKETS - 1 or seconds < EDGES[bucket]


def test_the_buckets_reach_from_a_tenth_of_a_millisecond_to_a_minute() -> None:
    assert (EDGES[0], len(MIDDLES)) == (1e-4, BUCKETS)
    assert EDGES[-1] > 60
    assert list(MIDDLES) == sorted(MIDDLES)
    assert quantile([0] * BUCKETS, 0.5) == 0.0
    assert quantile(counted([0.0]), 0.5) == EDGES[0]
    assert quantile(counted([3600.0]), 0.5) == EDGES[-1]


@given(requests, requests)
def test_a_merger_is_what_one_tally_would_have_counted(
    a: list[tuple[int, float]], b: list[tuple[int, float]]
) -> None:
    merged = tally(a)
    merged.merge(tally(b))
    assert merged == tally(a + b)
    assert merged.requests == sum(merged.buckets) == len(a) + len(b)


@given(requests)
def test_what_is_stored_is_read_back(of: list[tuple[int, float]]) -> None:
    made = tally(of)
    words = [word for pair in made.pairs() for word in pair]
    assert Tally.parse(words) == made
    stored = [str(word).encode() for word in words]
    assert Tally.parse([b"later", b"7", b"b999", b"1", *stored]) == made


@given(requests)
def test_every_request_has_one_class(of: list[tuple[int, float]]) -> None:
    made = tally(of)
    number = Counter(status // 100 if 100 <= status < 600 else 5 for status, _ in of)
    number[0] = sum(status == 499 for status, _ in of)
    number[4] -= number[0]
    assert made.classes == [number[n] for n in range(6)]
    assert made.errors == number[0] + number[4] + number[5]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("count"), st.integers(0, MOST_ENDPOINTS + 20), st.integers(1, 5)),
        st.tuples(st.just("gather"), st.floats(0.0, 200.0)),
        st.tuples(st.just("write"), st.booleans()),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_fails_each_request_is_handed_on_once(taken: list[tuple]) -> None:  # type: ignore[type-arg]
    book = Book(ApiTrackingSettings(events_enabled=False))
    backlog, now = Backlog(book, 10), 0.0
    served, written = Counter[str](), Counter[str]()
    sequences: dict[int, list[str]] = {}

    def write(succeeds: bool) -> bool:
        batch = backlog.batch(now)
        if batch is None:
            return False
        rows = [row.endpoint for row in batch.rows]
        assert sequences.setdefault(batch.sequence, rows) == rows, "a number was used twice"
        assert all(row.age >= 0 for row in batch.rows)
        if succeeds:
            for row in batch.rows:
                written[row.endpoint] += row.tally.requests
            backlog.written()
        return True

    for kind, *values in taken:
        if kind == "count":
            for _ in range(values[1]):
                book.count(now, "GET", f"/{values[0]}", "", 200, 0.01)
                served[f"GET /{values[0]}"] += 1
        elif kind == "gather":
            now += values[0]
            backlog.gather(now)
            waiting = sum(served.values()) - sum(written.values())
            assert backlog.requests == waiting
        else:
            write(values[0])
    backlog.gather(now)
    while write(True):
        pass
    assert written == served  # so few names that none is counted with others
    assert backlog.requests == 0
    assert sorted(sequences) == list(range(1, len(sequences) + 1))


@given(st.integers(0, 3 * MOST_SLICES))
def test_a_store_that_is_away_costs_no_count_and_bounded_memory(slices: int) -> None:
    book = Book(ApiTrackingSettings())
    backlog = Backlog(book, 10)
    for n in range(slices):
        book.count(n * 60.0, "GET", "/a", "/a", 200, 0.01)
        backlog.gather(n * 60.0)
    batch = backlog.batch(slices * 60.0)
    rows = [] if batch is None else batch.rows
    assert sum(row.tally.requests for row in rows) == slices
    assert len(rows) == min(slices, MOST_SLICES)
    ages = [row.age for row in rows]
    assert ages == sorted(ages, reverse=True)


@given(st.lists(st.text(min_size=1, max_size=400), max_size=20, unique=True))
def test_a_book_has_so_many_endpoints_and_the_rest_is_one(names: list[str]) -> None:
    book = Book(ApiTrackingSettings())
    for n in range(MOST_ENDPOINTS):
        book.count(0.0, "GET", f"/{n}", "", 200, 0.01)
    for _ in range(2):
        for name in names:
            book.count(0.0, "POST", name, name, 404, 0.01)
        taken = book.take()
        others = taken.pop(OTHERS, Tally())
        assert others.requests == len(names)
        assert all(len(endpoint) <= LONGEST_PATH + len("POST ") for endpoint in taken)
    assert book.sightings <= 2 * MOST_SIGHTINGS
