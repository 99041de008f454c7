"""What a worker does for a job that runs here."""

from __future__ import annotations

from math import inf

import anyio
import anyio.from_thread
from anyio import NoEventLoopError
from anyio.lowlevel import EventLoopToken, current_token
from attrs import define, field

from upnext.model.job import Job
from upnext.model.report import Pace, Report
from upnext.model.status import CancelReason
from upnext.tasks.definition import TaskDefinition
from upnext.worker.execution.running import Running
from upnext.worker.reporting.mailbox import Mailbox
from upnext.worker.store_clock import StoreClock


@define(eq=False)
class LocalHost:
    """The host of one task's jobs, for the event loop and for threads."""

    definition: TaskDefinition
    mailbox: Mailbox
    running: Running
    clock: StoreClock
    pace: Pace
    captures_logs: bool
    _loop: EventLoopToken = field(factory=current_token, init=False)

    def tell(self, job: Job, started_at: float, report: Report) -> None:
        """Have a report written; from any thread."""
        self.mailbox.put(job.held, int(started_at * 1000), report)

    async def stream(self, job: Job, started_at: float, report: Report) -> None:
        """Have a report written; waits while too many of the job's are not."""
        if current_token() != self._loop:  # an event loop that the job made in its thread
            await anyio.to_thread.run_sync(self.stream_sync, job, started_at, report)
            return
        self.tell(job, started_at, report)
        if self.mailbox.is_crowded(job.held):
            await self.mailbox.room(job.held)
        else:
            await anyio.lowlevel.checkpoint()

    def stream_sync(self, job: Job, started_at: float, report: Report) -> None:
        """`stream`, blocking the thread. In the event loop's own thread it cannot wait."""
        self.tell(job, started_at, report)
        if self.mailbox.is_crowded(job.held) and not self._in_loop():
            anyio.from_thread.run(self.mailbox.room, job.held, token=self._loop)

    def end(self, job: Job) -> None:
        """The job says no more."""
        self.mailbox.close(job.held)

    def cancelled(self, job: Job) -> tuple[CancelReason, str] | None:
        """Why the attempt is being cancelled, if it is; from any thread."""
        attempted = self.running.find(job)
        if attempted is None:
            return None
        if attempted.reason is not None:
            return attempted.reason, attempted.message
        here = self._in_loop()
        now = anyio.current_time() if here else self._elsewhere()
        if attempted.scope.deadline <= now:
            late = job.deadline is not None and self.clock.loop_time(job.deadline) <= now
            return CancelReason.DEADLINE if late else CancelReason.TIMEOUT, ""
        if self.running.stops(in_loop=here):
            return CancelReason.SHUTDOWN, "the worker stops"
        return None

    def time_left(self, job: Job) -> float | None:
        """Seconds until the attempt must be over; from any thread."""
        attempted = self.running.find(job)
        if attempted is None:
            return None
        limit = attempted.scope.deadline
        if limit == inf:  # its first hook runs
            return self._whole(job)
        return limit - (anyio.current_time() if self._in_loop() else self._elsewhere())

    def _whole(self, job: Job) -> float | None:
        limits: list[float] = []
        if self.definition.timeout is not None:
            limits.append(self.definition.timeout)
        if job.deadline is not None:
            now = anyio.current_time() if self._in_loop() else self._elsewhere()
            limits.append(self.clock.loop_time(job.deadline) - now)
        return min(limits, default=None)

    def _in_loop(self) -> bool:
        try:
            return current_token() == self._loop
        except NoEventLoopError:
            return False

    def _elsewhere(self) -> float:
        """The event loop's time, asked from a thread."""
        return self.clock.from_thread()
