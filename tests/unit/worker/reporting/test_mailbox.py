"""What jobs said and nobody wrote down yet: bounded, in order, whole."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from tests.support.claimed import a_job, held
from upnext.model.job import Held
from upnext.model.report import Report, ReportKind, Reports
from upnext.worker.reporting import mailbox as module
from upnext.worker.reporting.mailbox import LINES_WAITING, OUTPUT_WAITING, Mailbox

PROGRESS, CHECKPOINT = ReportKind.PROGRESS, ReportKind.CHECKPOINT
LOG, OUTPUT = ReportKind.LOG, ReportKind.OUTPUT


def one() -> Held:
    return held(a_job())


def put(box: Mailbox, whose: Held, kind: ReportKind, payload: bytes = b"1") -> None:
    box.put(whose, 7, Report(kind=kind, payload=payload))


def everything(box: Mailbox, most: int = 10**6, most_bytes: int = 10**9) -> list[Reports]:
    batch = box.take(most, most_bytes)
    box.done(batch)
    return batch


def test_reports_come_out_numbered_and_in_order() -> None:
    box, whose = Mailbox(), one()
    for n in range(3):
        put(box, whose, OUTPUT, b"%d" % n)
        put(box, whose, LOG, b"l%d" % n)
    [reports] = everything(box)
    assert (reports.held, reports.started) == (whose, 7)
    assert [r.payload for r in reports.reports if r.kind is OUTPUT] == [b"0", b"1", b"2"]
    assert [r.payload for r in reports.reports if r.kind is LOG] == [b"l0", b"l1", b"l2"]
    assert [r.number for r in reports.reports] == [1, 2, 3, 4, 5, 6]
    put(box, whose, OUTPUT, b"3")
    [more] = everything(box)
    assert [(r.number, r.count) for r in more.reports] == [(7, 4)]


def test_of_progress_and_checkpoints_the_newest_is_kept() -> None:
    box, whose = Mailbox(), one()
    for n in range(1_000):
        put(box, whose, PROGRESS, b"%d" % n)
        put(box, whose, CHECKPOINT, b"c%d" % n)
    assert box.statistics().waiting == 2
    [reports] = everything(box)
    assert {r.kind: r.payload for r in reports.reports} == {PROGRESS: b"999", CHECKPOINT: b"c999"}


def test_of_too_many_lines_the_oldest_go_and_their_numbers_show_it() -> None:
    box, whose = Mailbox(), one()
    for n in range(LINES_WAITING + 5):
        put(box, whose, LOG, b"%d" % n)
    assert box.statistics().waiting == LINES_WAITING
    [reports] = everything(box)
    assert [r.count for r in reports.reports] == list(range(6, LINES_WAITING + 6))
    assert reports.reports[0].number == 1


def test_lines_are_bounded_by_their_length_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES_WAITING", 100)
    box, whose = Mailbox(), one()
    for _ in range(10):
        put(box, whose, LOG, b"x" * 30)
    assert box.statistics().waiting == 3


def test_a_batch_has_no_more_than_it_may() -> None:
    box = Mailbox()
    first, second = one(), one()
    for n in range(10):
        put(box, first, OUTPUT, b"%d" % n)
    put(box, second, OUTPUT, b"s")
    batches = [everything(box, most=4) for _ in range(4)]
    sizes = [sum(len(r.reports) for r in batch) for batch in batches]
    assert sizes == [4, 4, 3, 0]
    # A job that says much does not keep the others waiting.
    assert batches[1][0].held == second
    said = [r.payload for batch in batches for rs in batch if rs.held == first for r in rs.reports]
    assert said == [b"%d" % n for n in range(10)]


def test_a_batch_is_not_longer_than_it_may_be() -> None:
    box, whose = Mailbox(), one()
    for _ in range(6):
        put(box, whose, OUTPUT, b"x" * 100)
    [reports] = everything(box, most_bytes=250)
    assert len(reports.reports) == 3


def test_after_its_end_a_job_leaves_nothing_behind() -> None:
    box, whose = Mailbox(), one()
    put(box, whose, OUTPUT)
    box.close(whose)
    put(box, whose, OUTPUT, b"too late")
    assert not box.is_crowded(whose)
    assert box.statistics().jobs == 1, "its words are not written yet"
    [reports] = everything(box)
    assert len(reports.reports) == 1
    assert box.statistics().jobs == 0
    box.close(whose)
    put(box, whose, OUTPUT, b"much too late")
    assert box.statistics().jobs == 0


def test_a_job_that_was_refused_is_not_heard_any_more() -> None:
    box, whose = Mailbox(), one()
    put(box, whose, OUTPUT)
    batch = box.take(10, 100)
    put(box, whose, OUTPUT)
    box.done(batch, [whose])
    assert everything(box) == []
    assert box.empty


async def test_room_comes_when_the_waiting_chunks_are_written() -> None:
    box, whose = Mailbox(), one()
    for _ in range(OUTPUT_WAITING):
        put(box, whose, OUTPUT)
    assert not box.is_crowded(whose)
    put(box, whose, OUTPUT)
    assert box.is_crowded(whose)
    over: list[str] = []

    async def wait() -> None:
        await box.room(whose)
        over.append("room")

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        for _ in range(3):
            await checkpoint()
        assert over == []
        everything(box)
    assert over == ["room"]


async def test_the_end_of_a_job_gives_room_to_a_thread_of_it_left_behind() -> None:
    box, whose = Mailbox(), one()
    for _ in range(OUTPUT_WAITING + 1):
        put(box, whose, OUTPUT)
    async with anyio.create_task_group() as group:
        group.start_soon(box.room, whose)
        for _ in range(3):
            await checkpoint()
        box.close(whose)


async def test_written_returns_when_all_is_written_that_was_said() -> None:
    box, whose, other = Mailbox(), one(), one()
    put(box, whose, OUTPUT)
    put(box, other, OUTPUT)
    over: list[str] = []

    async def wait() -> None:
        await box.written([whose])
        over.append("written")

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await box.urgency()
        batch = box.take(1, 100)
        assert [reports.held for reports in batch] == [whose]
        for _ in range(3):
            await checkpoint()
        assert over == [], "it is taken, not written"
        box.done(batch)
    assert over == ["written"]
    assert not box.empty
    await box.written([one()])


def test_threads_lose_nothing_and_keep_their_order() -> None:
    box = Mailbox()
    jobs = [one() for _ in range(4)]
    taken: dict[str, list[bytes]] = defaultdict(list)

    def speak(whose: Held) -> None:
        for n in range(2_000):
            put(box, whose, OUTPUT, b"%d" % n)

    threads = [threading.Thread(target=speak, args=(whose,)) for whose in jobs]
    for thread in threads:
        thread.start()
    numbers: dict[str, int] = defaultdict(int)
    while any(thread.is_alive() for thread in threads) or not box.empty:
        for reports in everything(box, most=100):
            for report in reports.reports:
                taken[reports.held.id].append(report.payload)
                numbers[reports.held.id] += 1
                assert report.number == numbers[reports.held.id]
    for whose in jobs:
        assert taken[whose.id] == [b"%d" % n for n in range(2_000)]


class Interrupted(dict[Any, Any]):
    """Looked through, it gives way after each step to a thread that speaks for the first time."""

    def __init__(self, box: Mailbox) -> None:
        super().__init__()
        self._box = box

    def values(self) -> Any:
        for value in super().values():
            thread = threading.Thread(target=put, args=(self._box, one(), LOG))
            thread.start()
            thread.join()
            yield value


def test_whether_it_is_empty_can_be_asked_while_threads_speak() -> None:
    box, jobs = Mailbox(), [one() for _ in range(3)]
    box._accounts = Interrupted(box)  # pyright: ignore[reportPrivateUsage]
    for whose in jobs:
        put(box, whose, LOG)
    assert not box.empty
    everything(box)
    assert box.empty, "they run on, and have nothing unwritten"
    for whose in jobs:
        put(box, whose, LOG)
    first, rest = box.take(1, 100), box.take(10, 100)
    assert not box.empty, "what is taken is not written yet"
    box.done(rest)
    assert not box.empty
    box.done(first)
    assert box.empty


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 2), st.sampled_from(list(ReportKind))),
            st.integers(1, 5),  # take so many
        ),
        max_size=80,
    )
)
def test_whatever_is_put_comes_out_once(steps: list[tuple[int, ReportKind] | int]) -> None:
    box, jobs = Mailbox(), [one() for _ in range(3)]
    put_in: dict[tuple[str, ReportKind], list[bytes]] = defaultdict(list)
    out: dict[tuple[str, ReportKind], list[bytes]] = defaultdict(list)
    numbers: dict[str, list[int]] = defaultdict(list)

    def take(most: int) -> None:
        for reports in everything(box, most):
            assert reports.reports
            for report in reports.reports:
                out[reports.held.id, report.kind].append(report.payload)
                numbers[reports.held.id].append(report.number)

    for n, step in enumerate(steps):
        if isinstance(step, int):
            take(step)
        else:
            who, kind = step
            payload = b"%d" % n
            put(box, jobs[who], kind, payload)
            put_in[jobs[who].id, kind].append(payload)
    while not box.empty:
        take(3)
    for key, payloads in put_in.items():
        if key[1] in (LOG, OUTPUT):
            assert out[key] == payloads
        else:
            assert out[key][-1] == payloads[-1]
            assert set(out[key]) <= set(payloads)
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))
