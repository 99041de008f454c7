"""Writing what jobs say: at once after a pause, together under load, never twice, never lost."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.lowlevel import checkpoint
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import ResponseError

from tests.support.claimed import a_job, held
from upnext.model.job import Held
from upnext.model.report import Report, ReportKind, Reports, Written
from upnext.worker.reporting.mailbox import Mailbox
from upnext.worker.reporting.reporter import INTERVAL, Reporter


class Book:
    """Stands in for a store."""

    def __init__(self) -> None:
        self.writes: list[list[Reports]] = []
        self.times: list[float] = []
        self.errors: list[Exception] = []
        self.answers: dict[str, Written | str] = {}
        self.takes = 0.0

    async def report(self, worker: str, batch: Sequence[Reports]) -> list[Written | str]:
        await checkpoint()
        if self.errors:
            raise self.errors.pop()
        self.times.append(anyio.current_time())
        await anyio.sleep(self.takes)
        self.writes.append(list(batch))
        return [self.answers.get(one.held.id, Written.APPLIED) for one in batch]

    def said(self, whose: Held) -> list[bytes]:
        return [
            report.payload
            for batch in self.writes
            for reports in batch
            if reports.held == whose
            for report in reports.reports
        ]


@asynccontextmanager
async def reporting() -> AsyncIterator[tuple[Book, Mailbox]]:
    book, box = Book(), Mailbox()
    async with anyio.create_task_group() as group:
        group.start_soon(Reporter(book, "w", box).run)
        await anyio.sleep(1)
        yield book, box
        group.cancel_scope.cancel()


def say(box: Mailbox, whose: Held, payload: bytes = b"1") -> None:
    box.put(whose, 0, Report(kind=ReportKind.OUTPUT, payload=payload))


async def test_what_is_said_after_a_pause_is_written_at_once() -> None:
    async with reporting() as (book, box):
        for _ in range(2):
            await anyio.sleep(1)
            said = anyio.current_time()
            say(box, held(a_job()))
            await anyio.sleep(INTERVAL / 10)
            assert book.times[-1] == said


async def test_what_is_said_in_short_order_is_written_together() -> None:
    async with reporting() as (book, box):
        whose = held(a_job())
        for n in range(100):
            say(box, whose, b"%d" % n)
            await anyio.sleep(INTERVAL / 20)
        await anyio.sleep(1)
        assert book.said(whose) == [b"%d" % n for n in range(100)]
        assert 4 <= len(book.writes) <= 8


async def test_nobody_waits_for_company_whose_end_is_to_be_written() -> None:
    async with reporting() as (book, box):
        whose = held(a_job())
        say(box, whose)
        await box.written([whose])
        began = anyio.current_time()
        say(box, whose)
        await box.written([whose])
        assert anyio.current_time() - began < INTERVAL / 2
        assert len(book.writes) == 2


async def test_after_a_lost_connection_the_same_reports_are_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with reporting() as (book, box):
        book.errors = [LostConnectionError("cut"), LostConnectionError("cut")]
        whose = held(a_job())
        say(box, whose, b"1")
        await anyio.sleep(0.01)
        say(box, whose, b"2")
        await box.written([whose])
        assert book.said(whose) == [b"1", b"2"]
    assert "cannot write what 1 jobs say yet" in caplog.text


async def test_a_server_that_refuses_does_not_hold_up_the_results(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with reporting() as (book, box):
        book.errors = [ResponseError("no")]
        whose = held(a_job())
        say(box, whose)
        await box.written([whose])
        assert book.writes == []
        say(box, whose, b"2")
        await box.written([whose])
        assert book.said(whose) == [b"2"]
    assert "is lost" in caplog.text


@pytest.mark.parametrize("answer", [Written.STALE, "WRONGTYPE"])
async def test_a_job_that_is_not_ours_is_said_once_and_not_heard_any_more(
    answer: Written | str, caplog: pytest.LogCaptureFixture
) -> None:
    async with reporting() as (book, box):
        whose, other = held(a_job()), held(a_job())
        book.answers[whose.id] = answer
        for _ in range(3):
            say(box, whose)
            say(box, other)
            await anyio.sleep(1)
        assert len(book.said(whose)) == 1
        assert len(book.said(other)) == 3
        box.close(whose)
        box.close(other)
        assert box.statistics().jobs == 0
    records = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(records) == 1
