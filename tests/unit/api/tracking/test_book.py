"""What is counted, which requests are noted, and what is given up when too many wait."""

from __future__ import annotations

from typing import Any

from upnext.api.tracking.book import LONGEST_PATH, MOST_SIGHTINGS, Book
from upnext.settings import ApiTrackingSettings


def make(chance: float = 0.5, **settings: Any) -> Book:
    return Book(ApiTrackingSettings(**settings), lambda: chance)


def count(book: Book, at: float = 0.0, *, status: int = 200, seconds: float = 0.01) -> None:
    book.count(at, "GET", "/a", f"/{at:g}", status, seconds)


def test_counts_begin_anew_when_they_are_taken() -> None:
    book = make()
    count(book)
    count(book, status=404)
    taken = book.take()
    assert {name: tally.requests for name, tally in taken.items()} == {"GET /a": 2}
    assert taken["GET /a"].errors == 1
    assert book.take() == {}
    count(book)
    assert book.take()["GET /a"].requests == 1


def test_errors_and_slow_ones_are_always_noted() -> None:
    book = make(events_sample_rate=0.0, events_slow_ms=100)
    count(book, 1)
    count(book, 2, status=400)
    count(book, 3, status=399)
    count(book, 4, seconds=0.1)
    count(book, 5, seconds=0.099)
    count(book, 6, status=499)
    noted = book.take_sightings(10)
    assert [(one.at, one.sampled) for one in noted] == [(2, False), (4, False), (6, False)]
    assert book.take()["GET /a"].requests == 6


def test_of_the_others_a_part_is() -> None:
    below, above = make(0.29, events_sample_rate=0.3), make(0.3, events_sample_rate=0.3)
    count(below)
    count(above)
    assert [one.sampled for one in below.take_sightings(10)] == [True]
    assert above.take_sightings(10) == []
    whole = make(1.0, events_sample_rate=1.0)
    count(whole)
    assert whole.sightings == 1


def test_none_is_when_they_are_switched_off() -> None:
    book = make(events_enabled=False)
    count(book, status=500)
    assert (book.sightings, book.dropped) == (0, 0)
    assert book.take()["GET /a"].errors == 1


def test_when_too_many_wait_the_oldest_go_and_are_counted() -> None:
    book = make()
    count(book, 0, status=500)
    for n in range(1, MOST_SIGHTINGS + 4):
        count(book, n)
    assert book.dropped == 3
    assert book.sightings == MOST_SIGHTINGS + 1
    noted = book.take_sightings(2 * MOST_SIGHTINGS)
    assert [noted[0].at, noted[1].at, noted[-1].at] == [0, 4, MOST_SIGHTINGS + 3]
    assert book.take()["GET /a"].requests == MOST_SIGHTINGS + 4


def test_errors_are_handed_on_before_others() -> None:
    book = make()
    for n in range(4):
        count(book, n, status=200 if n % 2 else 500)
    assert [one.at for one in book.take_sightings(3)] == [0, 1, 2]
    assert [one.at for one in book.take_sightings(3)] == [3]
    count(book, 5)
    count(book, 6, status=500)
    assert [one.at for one in book.take_sightings(1)] == [6]


def test_a_long_path_is_cut() -> None:
    book = make()
    book.count(0.0, "GET", "unmatched", "/" + "a" * 10_000, 404, 0.01)
    [one] = book.take_sightings(1)
    assert len(one.path) == LONGEST_PATH
