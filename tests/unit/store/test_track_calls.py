"""How the verbs of API tracking are written as calls, and their replies read."""

from __future__ import annotations

import pytest

from upnext.contracts.keys import Keys
from upnext.model.traffic import OTHERS, Period, Sighting, Tally, TrafficBatch, TrafficRow
from upnext.store.present import leave_call, present_calls
from upnext.store.roster import parse_instances
from upnext.store.track import track_call
from upnext.store.traffic import (
    MOST_PER_CALL,
    first_period,
    parse_endpoints,
    parse_requests,
    parse_sums,
    parse_trend,
    requests_command,
    sums_calls,
    trend_call,
)

KEYS = Keys("ws")
A = "upnext:{ws:@@shop}:"
KEPT = (2 * 3_600_000, 30 * 86_400_000)


def test_a_batch_is_one_call() -> None:
    tally = Tally()
    tally.add(404, 0.00015)
    one = Sighting(0.0, "GET", "/\udcff", 404, 0.00015, False)
    batch = TrafficBatch(
        sequence=3, rows=[TrafficRow(40, "GET /a", tally)], requests=[(7, one)], kept=9
    )
    call = track_call(KEYS, "shop", "p1", batch, 50)
    assert (call.verb, tuple(call.keys)) == ("track", (A,))
    words = list(call.args)
    assert words[:8] == ["p1", 3, 50, OTHERS, *KEPT, 9, 1]
    assert words[8:17] == [40, b"GET /a", 3, "4xx", 1, "b3", 1, "us", 150]
    assert words[17:] == [7, "GET", b"/?", 404, 150, 0]


def test_an_instance_keeps_its_api_on_the_roll_of_apis() -> None:
    apis, instances = present_calls(KEYS, "shop", "i1", b"{}", 30_000)
    assert (tuple(apis.keys), tuple(apis.args)) == (
        ("upnext:{ws:@@}:",),
        ("shop", "shop", KEPT[1]),
    )
    assert (tuple(instances.keys), tuple(instances.args)) == ((A,), ("i1", b"{}", 30_000))
    assert tuple(leave_call(KEYS, "shop", "i1").args) == ("i1", b"", 0)
    assert parse_instances([b"{}", b"nonsense"]) == []


def test_no_function_and_no_group_has_the_keys_of_an_api() -> None:
    names = ("shop", "@shop", "@@shop", "")
    prefixes = {KEYS.function(name) for name in names} | {KEYS.group(name) for name in names}
    assert prefixes.isdisjoint({KEYS.api(name) for name in names} | {KEYS.apis})
    assert len({KEYS.api(name) for name in names} | {KEYS.apis}) == len(names) + 1


def test_the_last_period_is_that_of_now() -> None:
    assert first_period(Period.MINUTE, 1, 60_000 * 7 + 59_999) == 7
    assert first_period(Period.HOUR, 3, 3_600_000 * 7) == 5


def test_a_sum_is_asked_for_in_calls_of_bounded_length() -> None:
    names = [f"GET /{n}" for n in range(45)]
    calls = list(sums_calls(KEYS, "shop", Period.MINUTE, 5, 100, names))
    assert [len(call.args) - 4 for call in calls] == [20, 20, 5]
    assert [name for call in calls for name in list(call.args)[4:]] == names
    assert tuple(calls[0].args)[:4] == ("m", 5, 100, 0)
    long = list(sums_calls(KEYS, "shop", Period.HOUR, 5, 2 * MOST_PER_CALL, names))
    assert len(long) == 45
    one = trend_call(KEYS, "shop", Period.HOUR, 5, 2, "GET /a")
    assert tuple(one.args) == ("h", 5, 2, 1, "GET /a")


def test_sums_are_read_and_what_served_nothing_is_left_out() -> None:
    last = parse_endpoints([(b"GET /b", 2.0), (b"GET /a", 1.0)])
    assert list(last.items()) == [("GET /a", 1), ("GET /b", 2)]
    [found] = parse_sums(last, [[], [b"2xx", 3, b"us", 1_500_000]])
    assert (found.endpoint, found.last_at, found.tally.requests) == ("GET /b", 2, 3)
    assert found.tally.average == 0.5
    trend = parse_trend(Period.HOUR, 2, [[], [b"5xx", b"4"]])
    assert [(one.at, one.tally.server_errors) for one in trend] == [(7_200_000, 0), (10_800_000, 4)]


def test_requests_are_read_in_the_direction_that_was_asked_for() -> None:
    key = A + "requests"
    assert requests_command(KEYS, "shop", "", "", 5) == ("XREVRANGE", key, "+", "-", "COUNT", 5)
    assert requests_command(KEYS, "shop", "", "7-1", 5)[2:4] == ("(7-1", "-")
    assert requests_command(KEYS, "shop", "7-1", "9", 5)[:4] == ("XRANGE", key, "(7-1", "(9")
    with pytest.raises(ValueError, match="'x' is not the id of a request"):
        requests_command(KEYS, "shop", "x", "", 5)
    fields = b"at 5 method GET path /a status 200 us 1500 sampled 1 instance p1".split()
    [one] = parse_requests("shop", [(b"7-1", fields)])
    assert (one.id, one.at, one.latency_ms, one.sampled) == ("7-1", 5, 1.5, True)
