"""A context in the hands of a job, with a worker that notes what it is told."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Any

import pytest

from tests.support.claimed import a_job
from upnext import CodecError
from upnext.model.job import Job
from upnext.model.report import Pace, Report, ReportKind
from upnext.model.status import CancelReason
from upnext.tasks.context import Context, PlainTerms
from upnext.tasks.words import LONGEST_CHUNK, LONGEST_EXTRA, LONGEST_TEXT

TERMS = PlainTerms("work", 3, 60.0)


class NotingHost:
    """Stands in for a worker."""

    def __init__(self, *, captures_logs: bool = True, pace: Pace | None = None) -> None:
        self.pace = pace or Pace(0.01, 3600)
        self.captures_logs = captures_logs
        self.told: list[Report] = []
        self.ended = 0
        self.reason: tuple[CancelReason, str] | None = None
        self.left: float | None = None

    def tell(self, job: Job, started_at: float, report: Report) -> None:
        assert not self.ended
        self.told.append(report)

    async def stream(self, job: Job, started_at: float, report: Report) -> None:
        self.tell(job, started_at, report)

    def stream_sync(self, job: Job, started_at: float, report: Report) -> None:
        self.tell(job, started_at, report)

    def end(self, job: Job) -> None:
        self.ended += 1

    def cancelled(self, job: Job) -> tuple[CancelReason, str] | None:
        return self.reason

    def time_left(self, job: Job) -> float | None:
        return self.left

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(one.payload) for one in self.told if one.kind is ReportKind.LOG]


def make(host: NotingHost | None = None, **fields: Any) -> tuple[Context, NotingHost]:
    host = host or NotingHost()
    return Context.of(a_job(**fields), TERMS, 5.0, None, host), host


def test_progress_is_told_when_it_is_news_and_at_the_end() -> None:
    context, host = make()
    for progress, message in [(0.1, None), (0.105, None), (11, None), (11, "a"), (0.11, "a")]:
        context.set_progress(progress, message)
    context.set_progress(0.115)
    assert [(one.payload, one.text) for one in host.told] == [
        (b"0.1", ""),
        (b"0.11", ""),
        (b"0.11", "a"),
    ]
    context.close()
    assert (host.told[-1].payload, host.told[-1].text) == (b"0.115", "a")
    assert host.ended == 1


def test_the_end_is_told_however_small_the_step() -> None:
    context, host = make()
    context.set_progress(0.999)
    context.set_progress(100)
    assert [one.payload for one in host.told] == [b"0.999", b"1.0"]


@pytest.mark.parametrize(("progress", "message"), [(101, None), ("1", None), (0.5, 7)])
def test_progress_that_makes_no_sense_is_refused(progress: Any, message: Any) -> None:
    context, host = make()
    with pytest.raises(ValueError, match="progress"):
        context.set_progress(progress, message)
    assert host.told == []


def test_the_pace_is_the_workers() -> None:
    context, _ = make(NotingHost(pace=Pace(0.5, 9)))
    assert (context.progress_min_delta, context.progress_min_interval_seconds) == (0.5, 9)
    alone = Context(job_id="a-1")
    assert (alone.progress_min_delta, alone.progress_min_interval_seconds) == (0.01, 0.2)


def test_a_checkpoint_is_saved_and_read_by_the_next_attempt() -> None:
    context, host = make()
    assert context.checkpoint_state is None
    context.checkpoint({"row": 7, "seen": [1, 2]})
    [report] = host.told
    assert report.kind is ReportKind.CHECKPOINT
    later, _ = make(checkpoint=report.payload, attempt=2)
    assert later.checkpoint_state == {"row": 7, "seen": [1, 2]}


def test_a_state_that_is_no_json_is_refused_with_its_place() -> None:
    context, host = make()
    with pytest.raises(CodecError, match=r"state\.rows\[1\]"):
        context.checkpoint({"rows": [1, object()]})
    with pytest.raises(CodecError, match="bytes of JSON are more"):
        context.checkpoint({"text": "x" * (1 << 20)})
    assert host.told == []


async def test_chunks_are_json_or_bytes() -> None:
    context, host = make()
    await context.stream({"a": 1})
    await context.stream("é")
    context.stream_sync(b"\xff")
    assert [(one.payload, one.text) for one in host.told] == [
        (b'{"a":1}', "json"),
        ('"é"'.encode(), "json"),
        (b"\xff", "raw"),
    ]
    with pytest.raises(CodecError, match="stream smaller"):
        await context.stream(b"x" * (LONGEST_CHUNK + 1))
    with pytest.raises(CodecError, match="chunk"):
        context.stream_sync(object())


@pytest.mark.parametrize(
    ("level", "name"),
    [("info", "INFO"), ("WARN", "WARNING"), (logging.ERROR, "ERROR"), (25, "Level 25")],
)
def test_a_line_has_its_level_and_its_facts(level: str | int, name: str) -> None:
    context, host = make(function="work")
    context.send_log(level, "half", rows=5, who="ada")
    assert host.lines() == [
        {"level": name, "logger": "work", "message": "half", "extra": {"rows": 5, "who": "ada"}}
    ]


@pytest.mark.parametrize("level", ["loud", "", True, None])
def test_an_unknown_level_is_refused(level: Any) -> None:
    context, _ = make()
    with pytest.raises(ValueError, match="no log level"):
        context.send_log(level, "x")


class WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "awkward",
    [object(), WordlessError(), 1 << 80, "\ud800", float("nan"), {1: (2,)}, b"\xff", {"a": {}}],
)
def test_a_line_is_written_whatever_is_beside_it(awkward: Any) -> None:
    context, host = make()
    context.send_log("info", "still here", fact=awkward)
    [line] = host.lines()
    assert line["message"] == "still here"
    assert "fact" in line["extra"]


def test_a_line_is_cut_where_it_is_too_long() -> None:
    context, host = make()
    context.send_log("info", "x" * (LONGEST_TEXT + 1), a="small", b="y" * LONGEST_EXTRA, c=1)
    [line] = host.lines()
    assert line["message"] == "x" * LONGEST_TEXT + "… (1 characters more)"
    assert line["extra"] == {"a": "small", "…": "2 facts more are too long"}


def test_a_surrogate_in_a_message_is_written_visibly() -> None:
    context, host = make()
    context.send_log("info", "a\ud800b")
    assert host.lines()[0]["message"] == "a\\ud800b"


def test_records_are_captured_with_their_facts_and_errors() -> None:
    context, host = make()
    try:
        raise ValueError("no luck")
    except ValueError as error:
        record = logging.LogRecord(
            "app", logging.ERROR, "f.py", 1, "%s failed", ("it",), (type(error), error, None)
        )
    record.order = 7
    record.job_id = "known anyway"
    context.capture(record)
    [line] = host.lines()
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "app", "it failed")
    assert line["extra"] == {"order": 7}
    assert line["error"].endswith("ValueError: no luck\n")
    context.capture(logging.LogRecord("app", logging.INFO, "f.py", 1, "%d", ("x",), None))
    assert "%d (its arguments do not fit" in host.lines()[1]["message"]


def test_what_is_not_to_be_captured_is_not() -> None:
    context, host = make(NotingHost(captures_logs=False))
    context.capture(logging.LogRecord("app", logging.INFO, "f.py", 1, "x", (), None))
    assert host.told == []
    assert context.said is None


def test_after_its_end_a_job_says_no_more() -> None:
    context, host = make()
    context.send_log("info", "one")
    context.close()
    context.close()
    context.set_progress(1.0)
    context.checkpoint({})
    context.send_log("info", "two")
    context.stream_sync(1)
    context.capture(logging.LogRecord("app", logging.INFO, "f.py", 1, "x", (), None))
    assert len(host.told) == 1
    assert host.ended == 1


async def test_without_a_worker_what_is_said_is_checked_and_goes_nowhere() -> None:
    context = Context(job_id="a-1")
    context.set_progress(50)
    context.checkpoint({"a": 1})
    context.send_log("info", "x")
    await context.stream(1)
    context.stream_sync(1)
    assert context.said is None
    assert (context.is_cancelled, context.cancel_reason, context.time_left()) == (False, None, None)
    with pytest.raises(ValueError, match="progress"):
        context.set_progress(101)
    with pytest.raises(CodecError):
        context.checkpoint({"a": object()})


def test_a_context_tells_why_it_is_cancelled_and_how_long_it_has() -> None:
    context, host = make()
    assert (context.is_cancelled, context.cancel_reason, context.cancel_message) == (
        False,
        None,
        "",
    )
    host.reason, host.left = (CancelReason.USER, "wrong month"), -0.5
    assert context.is_cancelled
    assert (context.cancel_reason, context.cancel_message) == (CancelReason.USER, "wrong month")
    assert context.time_left() == 0.0


def test_a_portable_context_takes_all_but_the_arguments_along() -> None:
    context, _ = make(arguments=b"x" * 1000, checkpoint=b"[1]", key="k", deadline=9, parent_id="p")
    moved = pickle.loads(pickle.dumps(context.portable()))
    names = ("job_id", "job_key", "parent_id", "root_id", "attempt", "max_attempts", "started_at")
    names += ("timeout", "deadline", "function", "function_name", "checkpoint_state")
    for name in names:
        assert getattr(moved, name) == getattr(context, name), name
    assert len(pickle.dumps(context.portable())) < 1000


def test_a_direct_call_inside_a_job_speaks_for_the_job() -> None:
    context, host = make()
    inner = context.named("other")
    assert inner.held == context.held
    assert (inner.function, inner.function_name, inner.job_id) == ("other", "other", context.job_id)
    inner.set_progress(0.5)
    context.set_progress(0.5)
    inner.set_progress(0.501)
    context.close()
    assert [one.payload for one in host.told] == [b"0.5", b"0.501"]
