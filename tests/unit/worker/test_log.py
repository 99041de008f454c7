"""What a program puts in the way of the worker's log records may fail."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

import upnext.worker
from tests.support.claimed import a_job, an_outcome, held
from tests.support.tree import running, until
from upnext import JobStatus, Worker
from upnext.model.outcome import Outcome, Settled
from upnext.model.report import Report, ReportKind, Reports, Written
from upnext.worker.log import Log
from upnext.worker.reporting.mailbox import Mailbox
from upnext.worker.reporting.reporter import Reporter
from upnext.worker.settlement.flusher import Flusher
from upnext.worker.settlement.leases import Leases
from upnext.worker.settlement.outbox import Outbox

OURS = logging.getLogger("upnext.worker")


class Trips(logging.Handler):
    """Raises at each record, as a handler and as a filter."""

    def handle(self, record: logging.LogRecord) -> bool:
        raise LookupError("no such field")

    def filter(self, record: logging.LogRecord) -> bool:
        raise LookupError("no such field")


@contextmanager
def tripping(where: str) -> Generator[None]:
    trips = Trips()
    if where == "filter":
        OURS.addFilter(trips)
    else:
        OURS.addHandler(trips)
    try:
        yield
    finally:
        OURS.removeFilter(trips)
        OURS.removeHandler(trips)


def test_a_record_names_the_line_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("test")  # one that no command line sets up
    caplog.set_level(logging.DEBUG, logger="test")
    log.debug("%d", 1)
    log.info("%d", 2)
    log.warning("%d", 3, extra={"job_id": "x"})
    log.error("%d", 4)
    log.log(logging.ERROR, "%d", 5)
    try:
        raise ValueError
    except ValueError:
        log.exception("%d", 6)
    assert [one.getMessage() for one in caplog.records] == list("123456")
    assert {one.funcName for one in caplog.records} == {"test_a_record_names_the_line_that_logs"}
    assert vars(caplog.records[2])["job_id"] == "x"
    assert caplog.records[-1].exc_info
    assert caplog.records[-1].exc_info[0] is ValueError


@pytest.mark.parametrize("where", ["filter", "handler"])
def test_a_failure_is_told_once(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = Log("upnext.worker")
    with tripping(where):
        log.warning("lost %d", 1)
        log.warning("lost %d", 2)
    said = capsys.readouterr().err
    assert said.count("LookupError: no such field") == 1
    assert "lost 1" in said
    assert "lost 2" not in said


@pytest.mark.parametrize("how", ["closed", "none", "not wanted"])
def test_a_failure_that_cannot_be_told_harms_nobody(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise ValueError("I/O operation on closed file")

    said: list[str] = []
    match how:
        case "closed":
            monkeypatch.setattr(sys, "stderr", Closed())
        case "none":
            monkeypatch.setattr(sys, "stderr", None)
        case _:
            monkeypatch.setattr(logging, "raiseExceptions", False)
            monkeypatch.setattr(Closed, "write", said.append)
            monkeypatch.setattr(sys, "stderr", Closed())
    with tripping("filter"):
        Log("upnext.worker").warning("lost")
    assert said == []


def test_all_parts_of_the_worker_log_that_way() -> None:
    files = list(Path(upnext.worker.__path__[0]).rglob("*.py"))
    assert len(files) > 40
    assert [path for path in files if 'getLogger("upnext.worker' in path.read_text()] == []


@pytest.mark.parametrize("where", ["filter", "handler"])
async def test_a_log_that_fails_costs_no_job(where: str) -> None:
    worker = Worker("test", concurrency=2)
    started, proceed = anyio.Event(), anyio.Event()
    called: list[str] = []

    async def bad_hook() -> None:
        called.append("hook")
        raise ValueError("hook")

    @worker.task
    async def slow() -> int:
        started.set()
        await proceed.wait()
        return 1

    @worker.task(retries=1, on_retry=bad_hook, on_failure=bad_hook, on_complete=bad_hook)
    async def bad() -> None:
        raise ValueError("job")

    async with running(worker) as tree:
        other = await slow.submit()
        await started.wait()
        with tripping(where):
            ended = await tree.end_of(await bad.submit())
            assert (ended.status, ended.attempt) == (JobStatus.FAILED, 2)
            await until(lambda: len(called) == 3)
            proceed.set()
            assert await other.value() == 1
            await tree.stop()
        assert tree.error is None


class Refusing:
    """Takes nothing of what a worker writes."""

    async def settle(self, worker: str, outcomes: Sequence[Outcome]) -> list[Settled | str]:
        answers: tuple[Settled | str, ...] = (Settled.STALE, "no")
        return [answers[n % 2] for n in range(len(outcomes))]

    async def report(self, worker: str, batch: Sequence[Reports]) -> list[Written | str]:
        answers: tuple[Written | str, ...] = (Written.STALE, "no")
        return [answers[n % 2] for n in range(len(batch))]


async def test_an_answer_that_cannot_be_logged_ends_nobody_who_writes() -> None:
    outbox, box, speakers = Outbox(10), Mailbox(), [held(a_job()), held(a_job())]
    flusher = Flusher(Refusing(), "w", outbox, Leases(), 10, 0.1)
    for _ in range(2):
        outbox.put(an_outcome())
    outbox.close()
    with tripping("filter"):
        await flusher.run()
        assert flusher.written == 2
        async with anyio.create_task_group() as group:
            for whose in speakers:
                box.put(whose, 7, Report(kind=ReportKind.LOG, payload=b"1"))
            group.start_soon(Reporter(Refusing(), "w", box).run)
            await box.written(speakers)
            group.cancel_scope.cancel()
    assert box.empty
