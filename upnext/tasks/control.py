"""What a running job says to the worker, and asks of it."""

from __future__ import annotations

from datetime import timedelta

import anyio.from_thread
from anyio import NoEventLoopError

from upnext.model.policy import seconds as to_seconds

__all__ = ["Discard", "Retry", "Snooze", "check_cancelled"]


class Retry(Exception):  # noqa: N818 - an instruction, not an error
    """Raise it to have the job tried again; the attempt is spent.

    When no attempt is left, the job fails with this as its error. The filters `retry_on` and
    `no_retry_on` of the task do not apply.

    Args:
        delay: Seconds or a `timedelta` until the next attempt; None: what the task's retry policy
            says.
    """

    def __init__(self, delay: float | timedelta | None = None) -> None:
        self.delay = None if delay is None else to_seconds(delay, "delay")
        super().__init__(
            "the job asked to be tried again"
            + ("" if self.delay is None else f" in {self.delay:g} s")
        )

    def __reduce__(self) -> tuple[type[Retry], tuple[float | None]]:
        return type(self), (self.delay,)


class Discard(Exception):  # noqa: N818
    """Raise it to give the job up: it is cancelled, whatever attempts are left.

    Args:
        reason: Why, in words; kept with the job.
    """

    def __init__(self, reason: str = "discarded by the job itself") -> None:
        super().__init__(reason)
        self.reason = reason


class Snooze(Exception):  # noqa: N818
    """Raise it to have the job run later; the attempt is not spent.

    Args:
        seconds: Seconds or a `timedelta` until it runs again.
    """

    def __init__(self, seconds: float | timedelta) -> None:
        self.seconds = to_seconds(seconds, "seconds")
        super().__init__(f"the job asked to run again in {self.seconds:g} s")

    def __reduce__(self) -> tuple[type[Snooze], tuple[float]]:
        return type(self), (self.seconds,)


def check_cancelled() -> None:
    """In a sync job that runs in a thread: stop here if the job was cancelled.

    A thread cannot be interrupted from outside, so a sync job that takes long calls this now and
    then. Cancelled means: by a user, by its timeout or deadline, by a worker that shuts down, or
    because its lease was lost. Anywhere else (async jobs, jobs in processes, outside a job) it
    does nothing.

    Raises:
        BaseException: the backend's cancellation exception. Let it pass.
    """
    try:
        anyio.from_thread.check_cancelled()
    except NoEventLoopError:
        return
