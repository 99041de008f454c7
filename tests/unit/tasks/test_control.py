"""What a job can say and ask."""

from __future__ import annotations

import logging
import pickle
import threading
from datetime import timedelta

import anyio
import pytest

from upnext.tasks.context import Context, current_context, get_current_context
from upnext.tasks.control import Discard, Retry, Snooze, check_cancelled


def test_signals_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(Retry(timedelta(minutes=1)))).delay == 60
    assert pickle.loads(pickle.dumps(Retry())).delay is None
    assert pickle.loads(pickle.dumps(Snooze(2))).seconds == 2
    assert pickle.loads(pickle.dumps(Discard("old"))).reason == "old"
    for kind in (Retry, Snooze):
        with pytest.raises(ValueError, match="0 or more"):
            kind(-1)


async def test_check_cancelled_stops_a_cancelled_thread() -> None:
    started, ended = anyio.Event(), threading.Event()

    def job() -> None:
        anyio.from_thread.run_sync(started.set)
        try:
            while True:
                check_cancelled()
        finally:
            ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, job)
        await started.wait()
        group.cancel_scope.cancel()
    assert ended.is_set()


async def test_check_cancelled_does_nothing_elsewhere() -> None:
    check_cancelled()
    thread = threading.Thread(target=check_cancelled)
    thread.start()
    thread.join()


def test_there_is_a_context_in_jobs_only() -> None:
    with pytest.raises(RuntimeError, match="inside a task"):
        get_current_context()
    context = Context(job_id="a-1", root_id="a-1")
    token = current_context.set(context)
    assert get_current_context() is context
    current_context.reset(token)


def test_the_log_says_which_job_speaks(caplog: pytest.LogCaptureFixture) -> None:
    context = Context(job_id="a-1", function="a", attempt=2)
    with caplog.at_level(logging.INFO, "upnext.job"):
        context.log.info("hello", extra={"size": 3})
    (record,) = caplog.records
    assert (record.job_id, record.function, record.attempt, record.size) == ("a-1", "a", 2, 3)


def test_a_portable_context_leaves_the_lender_behind() -> None:
    context = Context(job_id="a-1", root_id="r-1", deadline=5, lender=object())
    moved = pickle.loads(pickle.dumps(context.portable()))
    assert (moved.job_id, moved.root_id, moved.deadline, moved.lender) == ("a-1", "r-1", 5, None)
