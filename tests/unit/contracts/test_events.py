"""Reading the entries of an event stream."""

from __future__ import annotations

import pytest

from upnext.contracts.events import EventType, decode_entry, split_entry

ENTRY = [
    *(b"at", b"1000"),
    *(b"type", b"queued", b"id", b"f-1", b"name", b"f", b"arguments", b"{}", b"priority", b"0"),
    *(b"type", b"running", b"id", b"f-1", b"attempt", b"1", b"delivery", b"2", b"worker", b"w"),
    *(b"type", b"complete", b"id", b"g-2", b"root", b"f-1", b"result", b"null", b"error", b""),
]


def test_an_entry_holds_the_events_of_one_call() -> None:
    queued, running, complete = decode_entry(b"12-0", ENTRY)
    assert [event.number for event in (queued, running, complete)] == [10, 11, 12]
    assert {event.at for event in (queued, running, complete)} == {1000}
    assert (queued.type, queued.name, queued.arguments, queued.priority) == (
        EventType.QUEUED,
        "f",
        b"{}",
        0,
    )
    assert (running.attempt, running.delivery, running.worker) == (1, 2, "w")
    assert (complete.job_id, complete.root_id, complete.result, complete.error) == (
        "g-2",
        "f-1",
        b"null",
        None,
    )
    assert queued.root_id == "f-1"


SHORT = [
    *(b"at", b"1000", b"of", b"f"),
    *(b"queued", b'f-1 {"a": "b c"}'),
    *(b"type", b"queued", b"id", b"f-2", b"name", b"f", b"due", b"2000", b"priority", b"3"),
    *(b"by", b"w", b"running", b"f-1 1 2", b"complete", b"f-1 1 2 990 a b ", b"of", b"g"),
    *(b"queued", b"g-1 ", b"by", b"v", b"complete", b"f-2 2 3 995 "),
]


def test_a_short_event_says_the_same_in_one_field() -> None:
    plain, other, running, complete, bare, last = decode_entry(b"6-0", SHORT)
    assert [event.number for event in (plain, other, running, complete, bare, last)] == [
        *range(1, 7)
    ]
    assert (plain.job_id, plain.name, plain.arguments) == ("f-1", "f", b'{"a": "b c"}')
    assert (plain.due_at, plain.priority, plain.worker) == (1000, 0, None)
    assert (other.job_id, other.due_at, other.priority, other.worker) == ("f-2", 2000, 3, None)
    assert (running.type, running.job_id, running.attempt, running.delivery, running.worker) == (
        EventType.RUNNING,
        *("f-1", 1, 2, "w"),
    )
    assert running.name is None
    assert (complete.attempt, complete.delivery, complete.started_at) == (1, 2, 990)
    assert (complete.result, complete.worker, complete.error) == (b"a b ", "w", None)
    assert (bare.name, bare.arguments) == ("g", None)
    assert (last.job_id, last.worker, last.result) == ("f-2", "v", None)


@pytest.mark.parametrize(
    "fields",
    [
        [b"id", b"f-1"],
        [b"type", b"queued"],
        [b"type", b"unheard-of", b"id", b"f-1"],
        [b"running", b"f-1 1"],
        [b"running", b"f-1 1 two"],
    ],
    ids=["no type", "no job", "unknown type", "too few words", "no number"],
)
def test_what_is_no_event_is_refused(fields: list[bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says what is wrong in its own words
        decode_entry(b"1-0", fields)


def test_an_empty_entry_has_no_events() -> None:
    assert split_entry([b"at", b"5"]) == (5, [])
