"""The attempts that run now, and the only hand that cancels them."""

from __future__ import annotations

import anyio
import anyio.from_thread
from anyio import NoEventLoopError
from attrs import define, frozen

from upnext.model.job import Held, Job
from upnext.model.outcome import Outcome
from upnext.model.status import CancelReason


@define(eq=False)
class Attempted:
    """One running attempt. `reason` is written before the scope is cancelled, never inferred."""

    job: Job
    scope: anyio.CancelScope
    reason: CancelReason | None = None
    message: str = ""
    outcome: Outcome | None = None
    """How it ended, when only its hooks still run."""


@frozen
class RunningStatistics:
    """A snapshot."""

    running: int
    cancelled: int


class Running:
    """Owns the table of running attempts. Changed on the event loop only; threads may look."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, int], Attempted] = {}
        self._hard: anyio.CancelScope | None = None

    def within(self, hard: anyio.CancelScope) -> None:
        """The scope around all attempts; its end is a hard stop."""
        self._hard = hard

    def find(self, job: Job | Held) -> Attempted | None:
        """The attempt at a job, if it runs; from any thread."""
        return self._attempts.get((job.id, job.delivery))

    def stops(self, *, in_loop: bool) -> bool:
        """Whether a hard stop cancels what runs.

        Args:
            in_loop: Whether it is asked on the event loop; a job's own thread is the other choice.
        """
        if in_loop:
            return self._hard is not None and self._hard.cancel_called
        try:
            anyio.from_thread.check_cancelled()
        except NoEventLoopError:  # a thread that the job started by itself
            return False
        except BaseException:
            return True
        return False

    def begin(self, job: Job, scope: anyio.CancelScope) -> Attempted:
        """An attempt begins; its function is about to run in this scope."""
        attempted = Attempted(job, scope)
        self._attempts[job.id, job.delivery] = attempted
        return attempted

    def end(self, job: Job) -> None:
        """An attempt and its hooks are over."""
        del self._attempts[job.id, job.delivery]

    def cancel(self, job_id: str, delivery: int, reason: CancelReason, message: str) -> bool:
        """Cancel an attempt's scope, with the reason; False when it does not run here."""
        attempted = self._attempts.get((job_id, delivery))
        if attempted is None:
            return False
        if attempted.reason is None:
            attempted.reason = reason
            attempted.message = message
        attempted.scope.cancel(message or reason.value)
        return True

    def jobs(self) -> list[Job]:
        """The jobs that run; from any thread."""
        # Listed in one step: while the loop goes on the table changes between any two others.
        return [attempted.job for attempted in list(self._attempts.values())]

    def outcomes(self) -> list[Outcome]:
        """Of those jobs whose hooks alone still run, how they ended."""
        return [one.outcome for one in self._attempts.values() if one.outcome is not None]

    def names(self) -> list[str]:
        """What runs, for a message to a human; from any thread."""
        return [f"{job.function} ({job.id})" for job in self.jobs()]

    def statistics(self) -> RunningStatistics:
        cancelled = sum(attempt.reason is not None for attempt in self._attempts.values())
        return RunningStatistics(len(self._attempts), cancelled)
