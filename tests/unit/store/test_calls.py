"""How verbs are written as script calls, and their replies read."""

from __future__ import annotations

import pytest
from attrs import fields

from upnext.contracts.keys import Keys
from upnext.errors import JobRefusedError, QueueFullError
from upnext.model.cron import CronPlan, Overlap
from upnext.model.dedupe import Caching, Dedupe, DedupeKind
from upnext.model.job import (
    Enqueued,
    Held,
    NewJob,
    Replayed,
    ReplayVerdict,
    Rescued,
    Revoked,
    Staged,
)
from upnext.model.lineage import Member
from upnext.model.outcome import Ending, Outcome, Settled
from upnext.model.schedule import (
    Fired,
    Firing,
    FiringVerdict,
    Occurrence,
    Ordered,
    OrderVerdict,
    ScheduleAction,
    ScheduleOrder,
)
from upnext.model.status import JobStatus
from upnext.store import dead, enqueue, purge, renew, replay, rescue, settle
from upnext.store.bounds import Bounds
from upnext.store.cancel import (
    CancelVerdict,
    Head,
    below_steps,
    cancel_call,
    parse_cancelled,
    unwind_steps,
)
from upnext.store.claim import claim_call, parse_claimed
from upnext.store.cron import cron_call, parse_fired
from upnext.store.lookup import parse_record
from upnext.store.recover import recover_call
from upnext.store.retire import retire_call
from upnext.store.schedule import (
    parse_ordered,
    parse_schedules,
    schedule_call,
    schedules_call,
)
from upnext.store.stage import parse_staged, stage_call
from upnext.store.watch import watch_call

KEYS = Keys("ws")
BOUNDS = Bounds(record_ttl=1_000, events_kept=50, most_waiting=7, most_rescues=2)
JOB = "f-" + "0" * 32
P = "upnext:{ws:f}:"


def new(function: str = "f", number: int = 0, **fields: object) -> NewJob:
    return NewJob(id=f"{function}-{number:032x}", function=function, arguments=b"{}", **fields)


def test_enqueue_writes_three_words_for_a_plain_job_and_more_for_another() -> None:
    full = new(
        priority=3, delay=10, at=20, deadline=30, budget=40, key="k", parent_id="p", root_id="r",
        source=b"s", waiter="w", limit_keys="1:a", path="t",
    )  # fmt: skip
    [call] = enqueue.enqueue_calls(KEYS, BOUNDS, [full, new(number=1)])
    assert (call.verb, tuple(call.keys)) == ("enqueue", (P,))
    words = list(call.args)
    assert words[:4] == ["50", "1000", "7", "f"]
    assert words[4:17] == [JOB, b"{}", "more", 3, 10, 20, 30, 40, "k", "p", "r", b"s", "w"]
    assert words[17:19] == ["1:a", "t"]
    assert words[19] == 0, "nothing that few jobs have"
    assert words[20:] == ["f-" + "1".zfill(32), b"{}", ""]


@pytest.mark.parametrize("name", [each.name for each in fields(NewJob)][3:])
def test_a_job_is_plain_only_while_nothing_else_is_said_of_it(name: str) -> None:
    values = {
        "dedupe": Dedupe(DedupeKind.RERUN, ""),
        "caching": Caching("c", 10),
        "source": b"s",
    }
    numbers = {"priority": 1, "delay": 0, "at": 0, "deadline": 0, "budget": 0}
    assert new().is_plain
    assert not new(**{name: (values | numbers).get(name, "x")}).is_plain


def test_enqueue_names_what_few_jobs_have() -> None:
    job = new(
        dedupe=Dedupe(DedupeKind.DEBOUNCE, "a:b", 500, 900), caching=Caching("c", 10, fresh=True)
    )
    [call] = enqueue.enqueue_calls(KEYS, BOUNDS, [job, new(dedupe=Dedupe(DedupeKind.RERUN, ""))])
    words = list(call.args)
    assert words[6:20] == ["more", "", "", "", "", "", "", "", "", b"", "", "", "", 10]
    assert words[20:30] == [
        *("dedupe", "debounce:a:b", "window", 500, "most", 900, "cache", "10:c", "fresh", 1)
    ]
    assert words[32:] == ["more", *[""] * 8, b"", "", "", "", 4, "dedupe", "rerun:", "window", 0]


def test_dead_asks_for_a_page() -> None:
    first = dead.dead_call(KEYS, BOUNDS, "f", count=1_000)
    assert list(first.args) == ["", "", "", "", dead.MOST_PER_CALL, 30 * 86_400_000]
    then = dead.dead_call(KEYS, BOUNDS, "f", count=2, since=5, until=9, behind=(7, JOB))
    assert list(then.args) == [5, 9, 7, JOB, 2, 30 * 86_400_000]
    page = dead.parse_dead([1, 4, [JOB.encode(), 7, [b"status", b"failed"]], [b"x", 6, []]])
    assert [(letter.record.id, letter.at) for letter in page.letters] == [(JOB, 7)]
    assert (page.more, page.dropped) == (True, 4)


def test_replay_and_purge_split_great_batches() -> None:
    pairs = [(f"old{n}", f"new{n}") for n in range(replay.MOST_PER_CALL + 1)]
    first, second = replay.replay_calls(KEYS, BOUNDS, "f", pairs)
    assert list(first.args)[:5] == [50, 1_000, 7, "old0", "new0"]
    assert list(second.args)[3:] == list(pairs[-1])
    assert replay.parse_replayed([b"held", b"a"]) == [Replayed(ReplayVerdict.HELD, "a")]
    calls = purge.purge_calls(KEYS, "f", [str(n) for n in range(purge.MOST_PER_CALL + 1)])
    assert [len(call.args) for call in calls] == [purge.MOST_PER_CALL, 1]


def test_zero_is_not_nothing() -> None:
    [call] = enqueue.enqueue_calls(KEYS, BOUNDS, [new(delay=0, at=0, deadline=0, budget=0)])
    assert list(call.args)[8:12] == [0, 0, 0, 0]


def test_enqueue_splits_by_function_and_by_number() -> None:
    most = enqueue.MOST_PER_CALL
    jobs = [new(number=n) for n in range(2 * most + 1)] + [new("g"), new(number=9_999)]
    calls = list(enqueue.enqueue_calls(KEYS, BOUNDS, jobs))
    assert [(call.args[3], (len(call.args) - 4) // 3) for call in calls] == [
        ("f", most),
        ("f", most),
        ("f", 1),
        ("g", 1),
        ("f", 1),
    ]


def test_enqueue_reads_verdicts() -> None:
    jobs = [new(number=n) for n in range(6)]
    created, existing, full, cancelled, *others = enqueue.parse_enqueued(
        jobs, [[b"created", b"a", b"existing", b"b"], [b"full", b"c", b"cancelled", b"d"], 2]
    )
    assert others == [Enqueued(job.id, True) for job in jobs[4:]]
    assert (created, existing) == (Enqueued("a", True), Enqueued("b", False))
    assert isinstance(full, QueueFullError)
    assert isinstance(cancelled, JobRefusedError)
    assert not isinstance(cancelled, QueueFullError)
    assert (full.job_id, cancelled.job_id) == ("c", "d")


def test_claim_names_the_workers_channel() -> None:
    call = claim_call(KEYS, BOUNDS, "w1", "f", 9)
    assert (call.verb, tuple(call.keys)) == ("claim", (P,))
    assert list(call.args) == ["w1", KEYS.worker_channel("w1"), 9, 50, 1_000]


def test_claim_joins_functions() -> None:
    row = [b"f-1", b"[1]", 2, 3, b"100", b"-4", b"", b"p", b"r", b"1", b"k", b"s", b"[0]", b"t"]
    late = [b"g-1", b"", 1, 1, b"100", b"0", b"900", b"", b"", b"0", b"", b"", b"", b""]
    plain = [b"h-1", b"{}", b"1", b"2", b"100"]
    claimed = parse_claimed(["f", "g", "h"], [[7, 1, [row]], [8, 0, [late]], [9, 0, [plain]]])
    assert (claimed.now, claimed.more) == (9, ["f"])
    first, second, third = claimed.jobs
    assert (first.id, first.attempt, first.delivery, first.priority) == ("f-1", 2, 3, -4)
    assert (first.deadline, first.parent_id, first.root_id) == (None, "p", "r")
    assert (first.rescues, first.key, first.source, first.claimed_at) == (1, "k", b"s", 7)
    assert [job.checkpoint for job in claimed.jobs] == [b"[0]", b"", b""]
    assert (first.path, second.path) == ("t", "")
    assert (second.deadline, second.claimed_at, second.root_id) == (900, 8, "g-1")
    assert (third.function, third.attempt, third.delivery, third.created_at) == ("h", 1, 2, 100)
    assert (third.priority, third.deadline, third.root_id, third.key) == (0, None, "h-1", "")


def test_a_claim_of_nothing_is_empty() -> None:
    assert parse_claimed([], []).jobs == []


def test_recover_names_what_is_known() -> None:
    call = recover_call(KEYS, "w1", "f", ["a", "b"])
    assert (call.verb, list(call.args)) == ("recover", ["w1", "a", "b"])


def test_renew_splits_by_function_and_by_number() -> None:
    most = renew.MOST_PER_CALL
    held = [Held("f", str(n), n) for n in range(most + 1)] + [Held("g", "x", 1)]
    first, second, third = renew.renew_calls(KEYS, "w1", held)
    assert list(first.args)[:5] == ["w1", "0", 0, "1", 1]
    assert len(first.args) == 1 + 2 * most
    assert list(second.args) == ["w1", str(most), most]
    assert (list(third.keys), list(third.args)) == (["upnext:{ws:g}:"], ["w1", "x", 1])
    assert renew.renew_calls(KEYS, "w1", []) == []


def test_renew_reads_what_is_revoked() -> None:
    reply = [b"a", b"1", b"lost", b"", b"b", b"2", b"cancelled", b"why \xff"]
    assert renew.parse_revoked(reply) == [
        Revoked("a", 1, True),
        Revoked("b", 2, False, "why \ufffd"),
    ]


def test_settle_keeps_each_outcomes_place() -> None:
    outcomes = [
        Outcome(held=Held(function, str(n), n), ending=Ending.RETRY, delay=5, dead_letter=n == 2)
        for n, function in enumerate(["f", "g", "f"])
    ]
    (first, places), (second, others) = settle.settle_calls(KEYS, BOUNDS, "w1", outcomes)
    assert (places, others) == ([0, 2], [1])
    assert list(first.args) == [
        *("w1", 50, 1_000, 30 * 86_400_000, 10_000),
        *("0", 0, "retry", 0, b"", b"", 5, "", 0),
        *("2", 2, "retry", 0, b"", b"", 5, "", 1),
    ]
    assert list(second.keys) == ["upnext:{ws:g}:"]


def test_settle_splits_great_batches() -> None:
    most = settle.MOST_PER_CALL
    outcomes = [
        Outcome(held=Held("fg"[n % 2], str(n), 1), ending=Ending.COMPLETE)
        for n in range(2 * most + 2)
    ]
    calls = settle.settle_calls(KEYS, BOUNDS, "w1", outcomes)
    assert [len(places) for _, places in calls] == [most, most, 1, 1]
    assert sorted(place for _, places in calls for place in places) == list(range(2 * most + 2))
    for call, places in calls:
        assert list(call.args)[5::5] == [str(place) for place in places]


def test_settle_reads_answers_and_troubles() -> None:
    reply = [b"applied", b"repeated", b"stale", b"WRONGTYPE no hash"]
    assert settle.parse_settled(reply) == [
        Settled.APPLIED,
        Settled.REPEATED,
        Settled.STALE,
        "WRONGTYPE no hash",
    ]


def test_stage() -> None:
    assert stage_call(KEYS, BOUNDS, "f").verb == "stage"
    assert parse_staged("f", [3, 250]) == Staged("f", 3, 250)
    assert parse_staged("f", [0, 0]) == Staged("f", 0, 0)
    assert parse_staged("f", [0, -1]) == Staged("f", 0, None)


def test_rescue_allows_a_sixth_of_a_lease() -> None:
    call = rescue.rescue_call(KEYS, BOUNDS, "w1", "f", 3_000, 123)
    letters = (30 * 86_400_000, 10_000)
    assert list(call.args) == ["w1", 3_000, 2, rescue.MOST_PER_CALL, 50, 1_000, 123, 500, *letters]
    assert rescue.rescue_call(KEYS, BOUNDS, "w1", "f", 3_000, 123, 5).args[2] == 5
    assert rescue.parse_rescued([[b"a"], [b"b"], 0]) == Rescued(["a"], ["b"])
    assert rescue.parse_rescued([[], [], 1]).held_back


def test_cancel_finds_the_function_in_the_id() -> None:
    call = cancel_call(KEYS, BOUNDS, JOB, "why")
    assert list(call.keys) == [P]
    assert list(call.args)[:4] == ["job", JOB, "why", KEYS.worker_channels]
    assert parse_cancelled(b"requested") is CancelVerdict.REQUESTED


def test_a_tree_is_walked_page_by_page_in_every_function() -> None:
    heads = [
        Head(JOB, CancelVerdict.REQUESTED, "root", True),
        Head("g-" + "0" * 32, CancelVerdict.CANCELLED, "g", False),
    ]
    steps = below_steps(KEYS, BOUNDS, heads, ["f", "g"], "why")
    calls = next(steps)
    assert [list(call.keys) for call in calls] == [[P], ["upnext:{ws:g}:"]]
    assert list(calls[0].args)[:3] == ["tree", JOB, "why"]
    assert list(calls[0].args)[6:] == ["root", b"0"]
    [again] = steps.send([[b"17", 3], [b"0", 1]])
    assert (list(again.keys), again.args[-1]) == ([P], b"17")
    with pytest.raises(StopIteration) as end:
        steps.send([[b"0", 2]])
    assert [tree.below for tree in end.value.value] == [6, 0], "one that never ran is alone"


def test_a_job_that_was_cancelled_alone_asks_its_own_function_only() -> None:
    steps = unwind_steps(KEYS, BOUNDS, Member(JOB, "root", "a b"), ["g", "f"], "why", "ear")
    [own] = next(steps)
    assert (list(own.keys), own.args[0], own.args[-2:]) == ([P], "unwind", ("a b", "ear"))
    with pytest.raises(StopIteration) as end:
        steps.send([[b"-"]])
    assert end.value.value == []
    steps = unwind_steps(KEYS, BOUNDS, Member(JOB, "root"), ["g", "f"], "why", "ear")
    next(steps)
    [other] = steps.send([[b"0", b"f-1"]])
    assert (list(other.keys), other.args[0]) == (["upnext:{ws:g}:"], "spread")
    with pytest.raises(StopIteration) as end:
        steps.send([[b"0", b"g-2", b"g-1"]])
    assert end.value.value == ["f-1", "g-1", "g-2"]


@pytest.mark.parametrize("text", ["", "f", "f-123", "f-" + "g" * 32, "a b-" + "0" * 32])
def test_what_is_no_id_goes_nowhere(text: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        cancel_call(KEYS, BOUNDS, text, "")
    with pytest.raises(ValueError, match="not a job id"):
        watch_call(KEYS, BOUNDS, text, "ch")


def test_watch_and_retire() -> None:
    watch = watch_call(KEYS, BOUNDS, JOB, "ch")
    assert (list(watch.keys), list(watch.args)) == ([P], [JOB, "ch", 50, 1_000])
    retire = retire_call(KEYS, BOUNDS, "w1", "f")
    assert list(retire.args) == ["w1", KEYS.worker_channel("w1"), 50, 1_000]


@pytest.mark.parametrize("flat", [False, True])
def test_a_record_is_read_from_a_map_or_a_list(flat: bool) -> None:
    fields = {
        b"name": b"f",
        b"status": b"running",
        b"arguments": b"[]",
        b"created": b"5",
        b"attempt": b"2",
        b"cancel": b"",
        b"reason": b"\xff",
        b"unknown": b"from a later release",
    }
    reply = [word for pair in fields.items() for word in pair] if flat else fields
    record = parse_record(JOB, reply)
    assert record is not None
    assert (record.id, record.function, record.status) == (JOB, "f", JobStatus.RUNNING)
    assert (record.arguments, record.created_at, record.attempt) == (b"[]", 5, 2)
    assert (record.delivery, record.priority, record.rescues) == (0, 0, 0)
    assert (record.due_at, record.started_at, record.deadline) == (None, None, None)
    assert record.cancel_requested, "an empty reason is a request, too"
    assert record.reason == "\ufffd"


@pytest.mark.parametrize("reply", [{}, []])
def test_no_fields_are_no_record(reply: object) -> None:
    assert parse_record(JOB, reply) is None


def test_cron_quotes_what_the_scheduler_knows() -> None:
    firing = Firing(
        function="f",
        schedule="s",
        revision=7,
        expected=60_000,
        following=180_000,
        occurrences=[
            Occurrence("a", 60_000, 60_500, b"1"),
            Occurrence("b", 120_000, 120_000, b"2"),
        ],
    )
    call = cron_call(KEYS, BOUNDS, firing)
    assert (call.verb, list(call.keys)) == ("cron", [P])
    assert list(call.args) == [
        *("s", 7, 60_000, 180_000, 50, 7, "f"),
        *("a", 60_000, 60_500, b"1"),
        *("b", 120_000, 120_000, b"2"),
    ]
    assert parse_fired(firing, [b"gone", 5, 0, []]) == Fired(FiringVerdict.GONE, 5, 0, None)
    row = [b"revision", b"7", b"next", b"9", b"cursor", b"3", b"from a later release", b"x"]
    fired = parse_fired(firing, [b"fired", 5, 2, row])
    assert fired.schedule is not None
    assert (fired.schedule.revision, fired.schedule.next_at, fired.schedule.last_at) == (7, 9, 3)


def test_schedule_orders() -> None:
    plan = CronPlan(expression="@hourly", overlap=Overlap.SKIP)
    order = ScheduleOrder(
        action=ScheduleAction.ADD, function="f", name="s", next_at=9, plan=plan, origin="here"
    )
    call = schedule_call(KEYS, order)
    assert (call.verb, list(call.keys)) == ("schedule", [P])
    assert list(call.args) == [
        *("put", "s", "", 9, "add", plan.encode(), b"{}", "skip", order.fingerprint, "here"),
    ]
    pause = ScheduleOrder(action=ScheduleAction.PAUSE, function="f", name="s", revision=3)
    assert list(schedule_call(KEYS, pause).args) == ["pause", "s", 3, 0]
    assert list(schedules_call(KEYS, "f").args) == ["read"]
    assert parse_ordered("f", [b"missing", 5]) == Ordered(OrderVerdict.MISSING, 5, None)
    found = parse_schedules(["f", "g"], [[b"done", 5], [b"done", 6, b"s", [b"paused", b"1"]]])
    assert (found.now, [one.function for one in found.schedules]) == (6, ["g"])
    assert found.schedules[0].paused
    assert parse_schedules([], []).schedules == []
