"""What jobs said and nobody wrote down yet."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import anyio
from attrs import define, field, frozen

from upnext.model.job import Held
from upnext.model.report import Report, ReportKind, Reports

LINES_WAITING = 1_000
"""Log lines of one job that wait to be written; then the oldest ones are dropped."""
LOG_BYTES_WAITING = 1 << 20
OUTPUT_WAITING = 256
"""Chunks of one job that wait to be written; then the job waits."""
OUTPUT_BYTES_WAITING = 1 << 20
CLOSED_KNOWN = 1_000
"""Attempts that are over and still known to be: threads of theirs may go on speaking."""

Key = tuple[str, int]
"""Job id and delivery."""


@frozen
class MailboxStatistics:
    """A snapshot."""

    jobs: int
    """Attempts that said something and are not over, or whose words are not written."""
    waiting: int
    """Reports that are not taken to be written yet."""


@define(eq=False)
class _Account:
    """What one attempt said. Progress and checkpoints: the newest; the rest in order."""

    held: Held
    started: int
    progress: Report | None = None
    checkpoint: Report | None = None
    log: deque[Report] = field(factory=deque[Report])
    log_bytes: int = 0
    output: deque[Report] = field(factory=deque[Report])
    output_bytes: int = 0
    number: int = 0
    lines: int = 0
    chunks: int = 0
    writing: bool = False
    closed: bool = False
    refused: bool = False
    room: anyio.Event | None = None

    @property
    def waiting(self) -> int:
        newest = (self.progress is not None) + (self.checkpoint is not None)
        return newest + len(self.log) + len(self.output)

    @property
    def crowded(self) -> bool:
        """Whether the job should wait before it says more."""
        if self.closed or self.refused:
            return False
        return len(self.output) > OUTPUT_WAITING or self.output_bytes > OUTPUT_BYTES_WAITING

    def add(self, report: Report) -> None:
        match report.kind:
            case ReportKind.PROGRESS:
                self.progress = report
            case ReportKind.CHECKPOINT:
                self.checkpoint = report
            case ReportKind.LOG:
                self.lines += 1
                report.count = self.lines
                self.log.append(report)
                self.log_bytes += len(report.payload)
                while len(self.log) > LINES_WAITING or self.log_bytes > LOG_BYTES_WAITING:
                    # Its number is missing from now on, and so everybody sees that it is gone.
                    self.log_bytes -= len(self.log.popleft().payload)
            case ReportKind.OUTPUT:
                self.chunks += 1
                report.count = self.chunks
                self.output.append(report)
                self.output_bytes += len(report.payload)

    def take(self, most: int, most_bytes: int) -> tuple[list[Report], int]:
        """Remove what is to be written next, numbered, and say how long it is."""
        taken: list[Report] = []
        size = 0
        if self.progress is not None:
            taken.append(self.progress)
            self.progress = None
        if self.checkpoint is not None:
            taken.append(self.checkpoint)
            size += len(self.checkpoint.payload)
            self.checkpoint = None
        for waiting in (self.log, self.output):
            while waiting and len(taken) < most and size < most_bytes:
                report = waiting.popleft()
                taken.append(report)
                size += len(report.payload)
                if report.kind is ReportKind.LOG:
                    self.log_bytes -= len(report.payload)
                else:
                    self.output_bytes -= len(report.payload)
        for report in taken:
            self.number += 1
            report.number = self.number
        return taken, size

    def forget(self) -> None:
        self.progress = self.checkpoint = None
        self.log.clear()
        self.output.clear()
        self.log_bytes = self.output_bytes = 0


class Mailbox:
    """Owns the reports that are not written yet. Any thread may put; the loop takes.

    It is bounded by the number of jobs that run: of each it keeps the newest progress and
    checkpoint, `LINES_WAITING` log lines (older ones are dropped, which their numbers show), and
    `OUTPUT_WAITING` chunks and one more (then the job waits for `room`).
    """

    def __init__(self) -> None:
        self._accounts: dict[Key, _Account] = {}
        self._ready: dict[Key, _Account] = {}
        """Those with something to write, the longest waiting first."""
        self._closed: dict[Key, None] = {}
        self._writing = 0
        """Of how many attempts something is taken and not written: so that nobody has to look
        through the accounts, which any thread may add to meanwhile."""
        self._guard = threading.Lock()
        self._bell: socket.socket | None = None
        self._rung = False
        self._written = anyio.Event()
        self._urgent = anyio.Event()

    def put(self, held: Held, started: int, report: Report) -> None:
        """Add a report, at once. From any thread; it never waits for the event loop, which may
        just wait for a lock that this thread holds.

        Args:
            held: Whose it is.
            started: When the attempt started, Unix milliseconds of the store's clock.
            report: What was said.
        """
        report.made_at = report.made_at or time.monotonic()
        key = held.id, held.delivery
        with self._guard:
            account = self._accounts.get(key)
            if account is None:
                if key in self._closed:
                    return  # a thread of the job was left behind
                account = self._accounts[key] = _Account(held, started)
            if account.closed or account.refused:
                return
            account.add(report)
            self._ready[key] = account
            self._ring()

    def is_crowded(self, held: Held) -> bool:
        """Whether a job should wait for room before it streams more."""
        account = self._accounts.get((held.id, held.delivery))
        return account is not None and account.crowded

    async def room(self, held: Held) -> None:
        """Return when the job may stream more, or is over. On the event loop only."""
        while (account := self._accounts.get((held.id, held.delivery))) and account.crowded:
            self._urgent.set()
            if account.room is None:
                account.room = anyio.Event()
            await account.room.wait()

    def close(self, held: Held) -> None:
        """The attempt is over: nothing comes any more. On the event loop only."""
        key = held.id, held.delivery
        with self._guard:
            account = self._accounts.get(key)
            if account is None:
                return
            account.closed = True
            self._closed[key] = None
            while len(self._closed) > CLOSED_KNOWN:
                del self._closed[next(iter(self._closed))]
            self._settle(key, account)

    @property
    def empty(self) -> bool:
        """Whether nobody has anything unwritten."""
        return not self._ready and not self._writing

    async def written(self, held: Iterable[Held]) -> None:
        """Return when all is written that these deliveries have said. On the event loop only."""
        keys = [(one.id, one.delivery) for one in held]
        while any(self._owes(key) for key in keys):
            self._urgent.set()
            await self._written.wait()

    @contextmanager
    def listening(self) -> Generator[None]:
        """Open the bell for as long as somebody takes what is put."""
        ear, bell = socket.socketpair()
        with ear, bell:
            ear.setblocking(False)
            bell.setblocking(False)
            self._ear, self._bell = ear, bell
            try:
                yield
            finally:
                with self._guard:
                    self._bell = None

    async def arrival(self) -> None:
        """Return when there is something to write."""
        while not self._ready:
            await anyio.wait_readable(self._ear)
            with self._guard, contextlib.suppress(BlockingIOError):
                self._rung = False
                self._ear.recv(64)

    async def urgency(self) -> None:
        """Return when somebody waits for the writing."""
        await self._urgent.wait()

    def take(self, most: int, most_bytes: int) -> list[Reports]:
        """Remove and return what is to be written next; `done` says that it is."""
        batch: list[Reports] = []
        with self._guard:
            while self._ready and most > 0 and most_bytes > 0:
                key = next(iter(self._ready))
                account = self._ready.pop(key)
                taken, size = account.take(most, most_bytes)
                most, most_bytes = most - len(taken), most_bytes - size
                account.writing = True
                batch.append(Reports(account.held, account.started, taken))
                if account.waiting:
                    self._ready[key] = account  # behind the others
                    break
            self._writing += len(batch)
            if not self._ready:
                self._urgent = anyio.Event()
        return batch

    def done(self, batch: list[Reports], refused: Iterable[Held] = ()) -> None:
        """A batch is written; those refused are not to be heard any more."""
        with self._guard:
            for one in refused:
                if account := self._accounts.get((one.id, one.delivery)):
                    account.refused = True
                    account.forget()
                    self._ready.pop((one.id, one.delivery), None)
            self._writing -= len(batch)
            for reports in batch:
                key = reports.held.id, reports.held.delivery
                account = self._accounts[key]
                account.writing = False
                self._settle(key, account)
        self._written.set()
        self._written = anyio.Event()

    def statistics(self) -> MailboxStatistics:
        with self._guard:
            waiting = sum(account.waiting for account in self._accounts.values())
            return MailboxStatistics(len(self._accounts), waiting)

    def _owes(self, key: Key) -> bool:
        account = self._accounts.get(key)
        return account is not None and bool(account.writing or account.waiting)

    def _settle(self, key: Key, account: _Account) -> None:
        if account.room is not None and not account.crowded:
            account.room.set()
            account.room = None
        if account.closed and not account.writing and not account.waiting:
            del self._accounts[key]

    def _ring(self) -> None:
        if self._rung or self._bell is None:
            return
        self._rung = True
        with contextlib.suppress(BlockingIOError):  # then it rings already
            self._bell.send(b"\0")
