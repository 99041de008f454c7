"""What stands for the worker inside a worker process."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any

import orjson
from attrs import define

from upnext.model.job import Job
from upnext.model.report import Pace, Report, ReportKind
from upnext.model.status import CancelReason
from upnext.worker.reporting.hatch import HEAD

ANSWER_LIMIT = 5.0
"""Seconds that the parent may take to answer: its event loop may be blocked by another job."""


@define(eq=False)
class ChildHost:
    """The host of one job in this process: hands on what it says. Can be pickled."""

    address: str | None
    """Where the worker hears its processes; None: it does not."""
    ends_at: float | None
    """When the attempt must be over, on the machine's monotonic clock."""
    pace: Pace
    captures_logs: bool
    levels: tuple[int, int]
    """The levels of the worker's root logger and of the jobs' own logger."""

    def log_as_the_worker(self) -> None:
        """Take over the worker's log levels, unless the user's module set logging up here."""
        root = logging.getLogger()
        if not root.handlers:
            root.setLevel(self.levels[0])
            logging.getLogger("upnext.job").setLevel(self.levels[1])

    def tell(self, job: Job, started_at: float, report: Report) -> None:
        """Have a report written."""
        if self.address is None:
            return
        try:
            _line.send(self.address, job, started_at, report)
        except OSError:
            # What a job logs must not fail it. A checkpoint that is not saved must.
            if report.kind is ReportKind.CHECKPOINT:
                raise

    async def stream(self, job: Job, started_at: float, report: Report) -> None:
        """Have a report written; blocks while the worker takes no more."""
        self.stream_sync(job, started_at, report)

    def stream_sync(self, job: Job, started_at: float, report: Report) -> None:
        """As `stream`."""
        if self.address is not None:
            _line.send(self.address, job, started_at, report)

    def end(self, job: Job) -> None:
        """The job says no more: wait until the worker has heard all of it."""
        with contextlib.suppress(OSError):
            _line.end(job)

    def cancelled(self, job: Job) -> tuple[CancelReason, str] | None:
        """Never: a process is killed."""
        return None

    def time_left(self, job: Job) -> float | None:
        """Seconds until the process is killed."""
        return None if self.ends_at is None else self.ends_at - time.monotonic()


class _Line:
    """This process's connection to its worker, made when first needed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._address = ""
        self._talker: tuple[str, int] | None = None
        self._guard = threading.Lock()

    def send(self, address: str, job: Job, started_at: float, report: Report) -> None:
        with self._guard:
            try:
                self._introduce(address, job)
                # No limit: a job that streams waits for as long as its worker takes no more.
                self._write(
                    job,
                    report.kind.value,
                    report.payload,
                    text=report.text,
                    started=int(started_at * 1000),
                )
            except OSError:
                self._drop()
                raise

    def end(self, job: Job) -> None:
        with self._guard:
            if self._talker != (job.id, job.delivery):
                return
            self._talker = None
            try:
                self._ask(job, "bye")
            except OSError:
                self._drop()
                raise

    def _introduce(self, address: str, job: Job) -> None:
        if self._socket is None or self._address != address:
            self._drop()
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.connect(address)
            self._address = address
        if self._talker != (job.id, job.delivery):
            self._ask(job, "hello")
            self._talker = (job.id, job.delivery)

    def _ask(self, job: Job, kind: str) -> None:
        assert self._socket is not None
        self._socket.settimeout(ANSWER_LIMIT)
        self._write(job, kind, b"")
        if not self._socket.recv(1):
            raise ConnectionError("the worker does not listen any more")
        self._socket.settimeout(None)

    def _write(self, job: Job, kind: str, payload: bytes, **fields: Any) -> None:
        assert self._socket is not None
        message = {"function": job.function, "id": job.id, "delivery": job.delivery, "kind": kind}
        head = orjson.dumps({**message, **fields})
        self._socket.sendall(HEAD.pack(len(head), len(payload)) + head + payload)

    def _drop(self) -> None:
        broken, self._socket, self._talker = self._socket, None, None
        if broken is not None:
            broken.close()


_line = _Line()
